"""When clocks usually change: the rules agree with the tables of the zones."""

from datetime import UTC, datetime

import numpy as np
import pytest

from streamrnn.core.clock.season_clock import make_clock
from streamrnn.core.clock.usual_changes import DAYS, HOUR, usual_changes
from streamrnn.core.clock.zones import offset_at, zone_offsets
from streamrnn.core.series.plan import make_plan


@pytest.mark.parametrize("name", ["Europe/Berlin", "Europe/London", "America/Los_Angeles", "Australia/Sydney"])
def test_the_rules_are_those_of_the_zones(name: str) -> None:
    """Each change of a zone since its present rule is one of the usual ones, and for some days and no longer."""
    zone, usual = zone_offsets(name), usual_changes()
    since = datetime(2008, 6, 1, tzinfo=UTC).timestamp() * 1000
    until = datetime(2037, 1, 1, tzinfo=UTC).timestamp() * 1000
    changes = [int(each) for each in zone.changes if since < each < until]
    assert len(changes) > 50
    for change in changes:
        move = offset_at(zone, change - 1) - offset_at(zone, change)
        assert offset_at(usual, change - 1) == 0.0
        assert offset_at(usual, change) == offset_at(usual, change + DAYS * 24 * HOUR - 1) == move
        assert offset_at(usual, change + DAYS * 24 * HOUR) == 0.0


def test_they_are_of_series_without_a_zone() -> None:
    """A zone says itself when its clock changes."""
    assert (np.diff(usual_changes().changes) > 0).all()
    assert len(make_plan((1,), (0.5,)).usual.changes) > 0
    assert len(make_plan((1,), (0.5,), clock=make_clock("Europe/Berlin")).usual.changes) == 0
