"""The numerical core: pure functions of state and observations. No clock, no I/O, and no randomness except the seed's.

The row of a series is its index in the arrays of a bank. A step of a series is one observation, or one that was missing
and is filled in. Values "in units" are distances from the value at the origin of a forecast, as multiples of the scale
of the change over its horizon; see `series.scaling`. "16-bit codes" are such numbers, clipped and rounded to integers.

Letters: S series, B rows of a wave, T steps of a window, F inputs, U hidden units, E experts, N networks, K horizons,
of which H are published, Q quantiles, L slots of pending forecasts.
"""
