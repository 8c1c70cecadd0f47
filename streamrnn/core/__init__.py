"""The numerics: pure functions of a state and of what was observed. No clock, no I/O, no randomness but the seed's.

Letters: B rows of a wave, T steps of a window, F inputs, H hidden units, K horizons, Q quantiles, E experts, S series.
"""
