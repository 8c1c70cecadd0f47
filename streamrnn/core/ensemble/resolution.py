"""Resolution of a series: the deviation from a forecast below which an observation is no anomaly."""

from streamrnn.core.jit import Singles, compiled

SMALL = 1e-8
"""Share of a value from which on a deviation always counts. A smaller deviation must exceed the resolution of a double
at this value, and the smallest recent change of the series."""
ROUNDING = 2.0**-51  # resolution of a double as a share of the value: up to two units in the last place
STEPS = 1.5  # a deviation up to this multiple of the smallest change counts as one such change


@compiled
def smallest_step(ring: Singles, count: int) -> float:
    """Return the smallest change between consecutive values in a ring, of `count` values so far; 0: none."""
    smallest, size = 0.0, len(ring)
    for back in range(1, min(count, size)):
        step = abs(float(ring[(count - back) % size]) - float(ring[(count - back - 1) % size]))
        if step > 0 and (smallest == 0 or step < smallest):
            smallest = step
    return smallest


@compiled
def has_zero(ring: Singles, count: int, center: float) -> bool:
    """Return whether one of the values in a ring, of `count` so far, is 0 in the field's unit."""
    for back in range(min(count, len(ring))):  # noqa: SIM110 -- a compiled loop
        if center + ring[(count - 1 - back) % len(ring)] == 0:
            return True
    return False


@compiled
def is_negligible(deviation: float, latest: float, ring: Singles, count: int, center: float) -> bool:
    """Return whether a deviation from the forecast, in the field's unit, is below the resolution of the series.

    Args:
        deviation: Distance of an observation from the median.
        latest: The value before the observation. If the series has values of 0, its size is assumed to be at least 1.
        ring: Ring of the values up to `latest`, centered, (R,).
        count: Number of values up to `latest`.
        center: Center of the values, field's unit.
    """
    if deviation > SMALL * max(abs(latest), 1.0):
        return False
    size = max(abs(latest), 1.0) if has_zero(ring, count, center) else abs(latest)
    if deviation > SMALL * size:
        return False
    step = smallest_step(ring, count)
    if step == 0:
        return True
    return deviation <= max(STEPS * step, ROUNDING * abs(latest))
