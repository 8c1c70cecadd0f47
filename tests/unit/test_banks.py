"""Banks grow as series are added, after a load too."""

import numpy as np
import pytest
from support.streams import small


@pytest.mark.parametrize("saved", [0, 1, 8, 9])
@pytest.mark.parametrize("variant", ["full", "lean"])
def test_series_are_added_after_a_load(variant: str, saved: int) -> None:
    """Added series are forecast as without saving and loading, also if no series was saved."""

    def fed(forecaster, first, count):  # type: ignore[no-untyped-def]
        rows = forecaster.add([f"s{number}/a" for number in range(first, first + count)])
        return forecaster.step(rows, 5.0 + rows, np.full(count, 60_000))[0].quantiles

    one, other = small(variant=variant), small(variant=variant)
    if saved:
        fed(one, 0, saved)
    other.load(one.save_shared(), [one.save_rows(0, saved)], list(one.names))
    np.testing.assert_array_equal(fed(other, saved, 20), fed(one, saved, 20))
    assert other.names == one.names
