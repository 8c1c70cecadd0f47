"""The products of rows with a matrix: their order of summation, in every tile."""

import numpy as np
import pytest

from streamrnn.core.jit import Singles, compiled
from streamrnn.core.vector_products import LANES, ROW_COLUMNS, TILE_ROWS, _tile, add_products

TILES = [(TILE_ROWS, LANES), (TILE_ROWS, 2 * LANES), (TILE_ROWS, ROW_COLUMNS), (1, LANES), (1, ROW_COLUMNS)]


def numbers(*size: int) -> Singles:
    """Draw numbers of very different sizes, so that another order of summation gives other bits."""
    rng = np.random.default_rng([3, *size])
    return (rng.normal(size=size) * 10.0 ** rng.integers(-3, 4, size)).astype(np.float32)


def in_order(out: Singles, x: Singles, w: Singles) -> Singles:
    """Return out + x @ w, with one product and one sum of float32 after the other."""
    for k in range(len(w)):
        out = out + x[:, k : k + 1] * w[k]
    return out


@pytest.mark.parametrize("depth", range(71))
def test_products_are_summed_in_order(depth: int) -> None:
    """Every element has the bits of the plain loop, for any number of rows and any strides of x."""
    for rows in (*range(1, 10), depth or 1):
        for columns in (LANES, 3 * LANES, 2 * ROW_COLUMNS + LANES):
            out, x, w = numbers(rows, columns), numbers(rows, depth + 1), numbers(depth, columns)
            expected = in_order(out, x, w)
            for strided in (x, np.asfortranarray(x), np.repeat(x, 2, 0)[::2]):
                found = out.copy()
                add_products(found, strided, w)
                assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize(("rows", "columns"), TILES)
def test_all_tiles_have_the_same_bits(rows: int, columns: int) -> None:
    """The tiles of machines with longer vectors give the same bits."""
    tile = _tile(rows, columns)

    @compiled
    def add(out: Singles, row: int, column: int, x: Singles, w: Singles) -> None:
        tile(out, row, column, x, w)

    out, x, w = numbers(rows + 2, columns + LANES), numbers(rows + 2, 31), numbers(31, columns + LANES)
    expected, inside = out.copy(), np.s_[1 : rows + 1, LANES:]
    expected[inside] = in_order(out, x, w)[inside]
    add(out, 1, LANES, x, w)
    assert out.tobytes() == expected.tobytes()
