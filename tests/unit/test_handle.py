"""Handles: tuples of arrays that compiled functions receive by address."""

from typing import Any, NamedTuple

import numba
import numpy as np
import pytest

from streamrnn.core.banks.lean.bank import LeanBank
from streamrnn.core.handle import MAX_CACHED_ROWS, Handle, HandlePool, contents
from streamrnn.core.jit import Floats, Integers, compiled


class Inner(NamedTuple):
    """A tuple within the tuple."""

    matrix: Floats
    factor: float


class Outer(NamedTuple):
    """Arrays, numbers and a tuple."""

    counts: Integers
    inner: Inner
    shift: int


@compiled
def add_counts(handle: Handle[Outer], rows: Integers) -> float:
    """Add to the matrix, and return the sum of its `rows`."""
    outer = contents(handle)
    return add_rows(outer.inner, outer.counts, outer.shift, rows)


@compiled
def add_rows(inner: Inner, counts: Integers, shift: int, rows: Integers) -> float:
    """Do the same with the parts of the tuple, from a handle or as they are."""
    matrix, total = inner.matrix, 0.0
    for row in rows:
        for column in range(matrix.shape[1]):
            matrix[row, column] += inner.factor * counts[row] + shift
            total += matrix[row, column]
    return total


def test_a_compiled_function_reads_and_writes_the_arrays() -> None:
    """The arrays are those of the tuple, whatever their strides, and numbers have their values."""
    counts, matrix = np.arange(10)[::2], np.zeros((5, 3)).T.copy().T
    handle = Handle(Outer(counts, Inner(matrix, 0.5), 3))
    assert add_counts(handle, np.array([1, 4])) == 3 * (0.5 * 2 + 3) + 3 * (0.5 * 8 + 3)
    counts[1] = 100
    assert add_counts(handle, np.array([1])) == 3 * (4 + 53)
    assert matrix[:, 2].tolist() == [0, 57, 0, 0, 7]


def test_a_tuple_and_a_handle_give_the_same() -> None:
    """Functions that read the fields by name take both; each is compiled with its own type."""
    handle, plain = (Outer(np.arange(3), Inner(np.zeros((3, 2)), -0.25), 2) for _ in range(2))
    assert add_counts(Handle(handle), np.array([2])) == add_rows(plain.inner, plain.counts, plain.shift, np.array([2]))
    np.testing.assert_array_equal(handle.inner.matrix, plain.inner.matrix)


@pytest.mark.parametrize("unusable", [True, np.int32(1), "text"])
def test_a_value_that_cannot_be_stored(unusable: Any) -> None:
    """Values that numba stores in fewer bytes than their place has, or not at all, are refused."""
    with pytest.raises(TypeError, match="a handle cannot store"):
        Handle((np.zeros(1), unusable))


def test_handles_are_told_apart_by_the_types_of_their_tuples() -> None:
    """The name of the type, which contains a digest only, differs if a type deep in the tuple does."""
    names = [
        str(Handle(Outer(np.arange(1), Inner(matrix, 1.0), 1))._numba_type_)
        for matrix in (np.zeros((1, 1)), np.zeros((1, 1)).T, np.zeros((1, 1), np.float32), np.zeros((2, 2))[:, ::2])
    ]
    assert len(set(names)) == 3  # one row is contiguous in both directions
    assert all(len(name) < 40 for name in names)


def test_arrays_of_small_waves_are_used_again() -> None:
    """A wave of few rows gets the arrays of the last one of its size, a large one those of the one right before it."""
    pool = HandlePool(lambda rows: Outer(np.zeros(rows, np.int64), Inner(np.zeros((rows, 3)), 0.5), 1))
    one, two, many = (pool.take(rows) for rows in (1, 2, MAX_CACHED_ROWS + 1))
    assert pool.take(1) is one
    assert pool.take(2) is two
    assert pool.take(MAX_CACHED_ROWS + 1) is many
    larger = pool.take(MAX_CACHED_ROWS + 2)
    assert larger.content.inner.matrix.shape == (MAX_CACHED_ROWS + 2, 3)
    assert pool.take(MAX_CACHED_ROWS + 1) is not many
    two.content.counts[:] = 4, 8
    assert add_counts(two, np.array([1])) == 3 * (0.5 * 8 + 1)
    assert many.content.inner.matrix.shape == (MAX_CACHED_ROWS + 1, 3)


def test_an_update_is_not_overwritten() -> None:
    """The next wave changes what `advance` returned, and not what `update` did."""
    bank = LeanBank(horizons=[1], quantiles=[0.1, 0.5, 0.9])
    bank.add(["a"])
    given = [(np.array([0]), np.array([1.0 + i]), np.array([60_000 * i])) for i in range(3)]
    update, wave = bank.update(*given[0]), bank.advance(*given[1])
    assert (update.seen.tolist(), wave.content.seen.tolist()) == ([0], [1])
    assert bank.advance(*given[2]) is wave
    assert (update.seen.tolist(), wave.content.seen.tolist()) == ([0], [2])


def test_a_growing_bank_keeps_the_types_of_its_handles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finding a type takes milliseconds. The arrays of an earlier handle are released, so that they can be moved."""
    bank = LeanBank(horizons=[1], quantiles=[0.1, 0.5, 0.9])
    bank.add(["a"])
    first = bank._handle()
    bank.add(["b"])
    assert not hasattr(first, "content")
    monkeypatch.setattr(numba, "typeof", None)
    assert bank._handle()._numba_type_ is first._numba_type_


def test_a_bank_that_has_grown_uses_its_new_tables() -> None:
    """Series added between waves, beyond any table's capacity, are as if they had been there from the start."""
    banks = [LeanBank(horizons=[1], quantiles=[0.1, 0.5, 0.9], networks=1) for _ in range(2)]
    banks[0].add(list(map(str, range(3000))))
    for wave, count in enumerate((10, 1000, 3000)):
        rows = np.arange(count)
        banks[1].add(list(map(str, range(len(banks[1].names), count))))
        given = rows, rows + 10.0 * wave, np.full(count, 60_000 * (wave + 1))
        updates = [bank.update(*given) for bank in banks]
        np.testing.assert_array_equal(updates[0].features.inputs, updates[1].features.inputs)
    for name, array in banks[0].arrays().items():
        np.testing.assert_array_equal(array[:3000], banks[1].arrays()[name][:3000])
