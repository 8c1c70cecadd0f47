"""Single-precision arithmetic for the kernels, with the same bits on every machine."""

import math

import numpy as np

from streamrnn.core.jit import Singles, compiled

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)  # a bare 1.0 would promote to float64
C3, C4, C5, C6, C7 = (np.float32(1 / math.factorial(i)) for i in range(3, 8))
LOWEST, HIGHEST = np.float32(-87), np.float32(88)
LOG2, LOG2_COARSE = np.float32(math.log(2)), np.float32(355 / 512)  # n * LOG2_COARSE is exact
LOG2_FINE = np.float32(math.log(2) - 355 / 512)


@compiled
def exponential(x: np.float32) -> np.float32:
    """Return exp(x), with x clipped to -87 ... 88, within a relative error of 2e-7.

    Computed as 2**n exp(r) with |r| <= log(2) / 2 and the Taylor series of exp(r); without branches, so that loops are
    vectorized, and without the C library, whose results differ between machines in the last bits.
    """
    x = x if x > LOWEST else LOWEST
    x = x if x < HIGHEST else HIGHEST
    n = np.float32(np.floor(x / LOG2 + HALF))
    r = (x - n * LOG2_COARSE) - n * LOG2_FINE
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # 2**n
    tail = C3 + r * (C4 + r * (C5 + r * (C6 + r * C7)))
    return (ONE + (r + r * r * (HALF + r * tail))) * power


@compiled
def add_product(out: Singles, vector: Singles, weight: Singles) -> None:
    """Add vector (N,) @ weight (N, M) to out (M,), each element summed in the order of N."""
    size, whole = len(vector), len(vector) // 4 * 4
    for i in range(0, whole, 4):  # four at a time: the same order, with a quarter of the loads and stores of `out`
        w, x, y, z = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        for j in range(len(out)):
            out[j] = (((out[j] + w * weight[i, j]) + x * weight[i + 1, j]) + y * weight[i + 2, j]) + z * weight[
                i + 3, j
            ]
    for i in range(whole, size):
        for j in range(len(out)):
            out[j] += vector[i] * weight[i, j]
