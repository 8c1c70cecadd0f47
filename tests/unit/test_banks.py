"""Room for series is made when they come, whatever was loaded before."""

import numpy as np
import pytest
from support.streams import small


@pytest.mark.parametrize("held", [0, 1, 8, 9])
@pytest.mark.parametrize("variant", ["full", "lean"])
def test_series_are_added_after_a_load(variant: str, held: int) -> None:
    """As many as there were and more are forecast as if nothing had been saved, even where no series was."""

    def fed(forecaster, first, count):  # type: ignore[no-untyped-def]
        rows = np.array([forecaster.add(f"s{number}/a") for number in range(first, first + count)], np.int64)
        return forecaster.step(rows, 5.0 + rows, np.full(count, 60_000))[0].quantiles

    one, other = small(variant=variant), small(variant=variant)
    if held:
        fed(one, 0, held)
    other.load(one.save_shared(), [one.save_rows(0, held)], list(one.names))
    np.testing.assert_array_equal(fed(other, held, 20), fed(one, held, 20))
    assert other.names == one.names
