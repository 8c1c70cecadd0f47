"""Products of blocks of rows with a matrix, with sums in registers and a fixed order of summation.

`add_products` works on tiles of `out`: the sums of a tile are loaded into vector registers once, all products are added
to them, and they are stored once. A tile of four rows reads each weight once for the four; a tile of one row has four
times the columns, and so as many independent sums. Numba has no vector types, so the loop over k is written in LLVM's
intermediate representation, which LLVM maps to vectors of the machine's own length.

Every element is computed alike in every tile: `out + x[0] w[0] + x[1] w[1] + ...` in this order, with each product and
each sum rounded to float32. Multiplications and additions are never fused, because only unfused operations round alike
on all machines. The bits of a row therefore depend neither on the other rows nor on its block.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from streamrnn.core.jit import Singles, compiled, compiler_description

LANES = 16  # the columns of `out` and `w` are padded to a multiple of this number
TILE_ROWS = 4  # rows of a tile
# of a tile of TILE_ROWS rows, which then takes 8 or 16 registers
TILE_COLUMNS = 2 * LANES if "avx512f" in compiler_description() else LANES
ROW_COLUMNS = 4 * LANES  # columns of a tile of one row

Tile = Callable[[Singles, int, int, Singles, Singles], None]
_INDEX, _FLOAT, _LANE = ir.IntType(64), ir.FloatType(), ir.IntType(32)


def _tile(rows: int, columns: int) -> Tile:
    """Return an intrinsic (out, r, j, x, w) that adds x[r : r + rows] @ w[:, j : j + columns] to the tile of `out`."""

    def add_tile(_: Any, out: Any, row: Any, column: Any, x: Any, w: Any) -> Any:  # noqa: ARG001 -- numba inspects them
        return types.void(out, types.intp, types.intp, x, w), partial(_emit_tile, rows, columns)

    return cast("Tile", intrinsic(add_tile))


def _emit_tile(rows: int, columns: int, context: Any, builder: Any, signature: Any, args: Any) -> Any:
    """Emit the code of a tile; the optimizer replaces the stack variables `sums` by registers."""
    vector = ir.VectorType(_FLOAT, columns)
    (out, x, w), (first, column) = [(args[i], signature.args[i]) for i in (0, 3, 4)], args[1:3]
    row = [builder.add(first, _INDEX(r)) for r in range(rows)]
    targets = [builder.bitcast(_element(context, builder, *out, i, column), vector.as_pointer()) for i in row]
    sums = [cgutils.alloca_once_value(builder, builder.load(target, align=4)) for target in targets]
    depth = cgutils.unpack_tuple(builder, context.make_array(w[1])(context, builder, w[0]).shape, 2)[0]
    with cgutils.for_range(builder, depth) as loop:
        pointer = builder.bitcast(_element(context, builder, *w, loop.index, column), vector.as_pointer())
        weights = builder.load(pointer, align=4)
        for i, total in zip(row, sums, strict=True):
            factor = builder.load(_element(context, builder, *x, i, loop.index))
            product = builder.fmul(_broadcast(builder, factor, vector), weights)
            builder.store(builder.fadd(builder.load(total), product), total)
    for target, total in zip(targets, sums, strict=True):
        builder.store(builder.load(total), target, align=4)
    return context.get_dummy_value()


def _element(context: Any, builder: Any, value: Any, kind: Any, i: Any, j: Any) -> Any:
    """Return a pointer to element (i, j) of an array, which may have any strides."""
    array = context.make_array(kind)(context, builder, value)
    return cgutils.get_item_pointer(context, builder, kind, array, [i, j])


def _broadcast(builder: Any, number: Any, vector: Any) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(_LANE, vector.count), [0] * vector.count)
    return builder.shuffle_vector(builder.insert_element(empty, number, _LANE(0)), empty, everywhere)


_add_wide, _add_narrow = _tile(TILE_ROWS, TILE_COLUMNS), _tile(TILE_ROWS, LANES)
_add_long, _add_short = _tile(1, ROW_COLUMNS), _tile(1, LANES)


@compiled
def add_products(out: Singles, x: Singles, w: Singles) -> None:
    """Add x (R, K) @ w (K, M) to out (R, M), each element summed in the order of K.

    M is a multiple of LANES. The columns of `out` and `w` are contiguous; `x` may have any strides, and more columns.
    """
    rows, columns = out.shape
    tiled, wide = rows // TILE_ROWS * TILE_ROWS, columns // TILE_COLUMNS * TILE_COLUMNS
    long = columns // ROW_COLUMNS * ROW_COLUMNS
    for j in range(0, wide, TILE_COLUMNS):
        for r in range(0, tiled, TILE_ROWS):
            _add_wide(out, r, j, x, w)
    if TILE_COLUMNS != LANES:  # a compile-time constant
        for j in range(wide, columns, LANES):
            for r in range(0, tiled, TILE_ROWS):
                _add_narrow(out, r, j, x, w)
    for r in range(tiled, rows):
        for j in range(0, long, ROW_COLUMNS):
            _add_long(out, r, j, x, w)
        for j in range(long, columns, LANES):
            _add_short(out, r, j, x, w)
