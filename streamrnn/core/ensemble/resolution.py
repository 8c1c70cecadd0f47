"""Resolution of a series: the deviation from a forecast below which an observation means nothing."""

from streamrnn.core.jit import Singles, compiled

SMALL = 1e-8
"""Share of a value from which on a deviation always counts. Below it, it must exceed what a double can represent at
that value, and the smallest change that the series has shown."""
ROUNDING = 2.0**-51  # share of a value that a double cannot represent: up to two units in the last place
STEPS = 1.5  # deviations up to this multiple of the smallest change count as one such change


@compiled
def smallest_step(ring: Singles, count: int) -> float:
    """Return the smallest change between the latest of `count` values, of which the ring has some; 0: none."""
    smallest, size = 0.0, len(ring)
    for back in range(1, min(count, size)):
        step = abs(float(ring[(count - back) % size]) - float(ring[(count - back - 1) % size]))
        if step > 0 and (smallest == 0 or step < smallest):
            smallest = step
    return smallest


@compiled
def has_zero(ring: Singles, count: int, center: float) -> bool:
    """Return whether one of the latest of `count` values, distances from the center, is 0."""
    for back in range(min(count, len(ring))):  # noqa: SIM110 -- a compiled loop
        if center + ring[(count - 1 - back) % len(ring)] == 0:
            return True
    return False


@compiled
def is_negligible(deviation: float, latest: float, ring: Singles, count: int, center: float) -> bool:
    """Return whether a deviation from the forecast, in the field's unit, is below the resolution of the series.

    Args:
        deviation: Distance of an observation from the median.
        latest: The value before it. A series with values of 0 counts as one with values of 1.
        ring: Ring of the values up to `latest`, distances from the center, (R,).
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
