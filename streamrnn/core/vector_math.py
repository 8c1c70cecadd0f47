"""Single-precision arithmetic of the kernels, with one order of summation on every machine."""

import math

import numpy as np

from streamrnn.core.jit import Singles, compiled

ZERO, HALF, ONE = np.float32(0), np.float32(0.5), np.float32(1)  # a bare 1.0 would turn what it meets to float64
C3, C4, C5, C6, C7 = (np.float32(1 / math.factorial(i)) for i in range(3, 8))
LOWEST, HIGHEST = np.float32(-87), np.float32(88)
LOG2, LOG2_COARSE = np.float32(math.log(2)), np.float32(355 / 512)  # the coarse one, times n, is exact
LOG2_FINE = np.float32(math.log(2) - 355 / 512)


@compiled
def exponential(x: np.float32) -> np.float32:
    """exp(x) within 2e-7 of itself for -87 <= x <= 88, and the value of the nearer end beyond.

    2**n exp(r) with |r| <= log(2) / 2 and the Taylor series of exp(r). It has no branches, so that loops over it take
    many elements at a time, and no call to the machine's own library, whose bits differ.
    """
    x = x if x > LOWEST else LOWEST
    x = x if x < HIGHEST else HIGHEST
    n = np.float32(np.floor(x / LOG2 + HALF))
    r = (x - n * LOG2_COARSE) - n * LOG2_FINE
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)  # the exponent's place in the bits
    tail = C3 + r * (C4 + r * (C5 + r * (C6 + r * C7)))
    return (ONE + (r + r * r * (HALF + r * tail))) * power


@compiled
def add_product(out: Singles, vector: Singles, weight: Singles) -> None:
    """out (M,) += vector (N,) @ weight (N, M), each element summed in the order of N."""
    size, whole = len(vector), len(vector) // 4 * 4
    for i in range(0, whole, 4):  # four at a time: the same order, and a fourth of the loads and stores of `out`
        w, x, y, z = vector[i], vector[i + 1], vector[i + 2], vector[i + 3]
        for j in range(len(out)):
            out[j] = (((out[j] + w * weight[i, j]) + x * weight[i + 1, j]) + y * weight[i + 2, j]) + z * weight[
                i + 3, j
            ]
    for i in range(whole, size):
        for j in range(len(out)):
            out[j] += vector[i] * weight[i, j]
