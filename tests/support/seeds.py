"""Seeds of randomized tests: a few in the short run, the others in the long one."""

from typing import Any

import pytest


def seeds(few: int, every: int) -> list[Any]:
    """Return the seeds up to `every` as parameters; those from `few` on are run by make long."""
    return [*range(few), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(few, every))]
