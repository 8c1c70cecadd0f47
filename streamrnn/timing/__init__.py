"""Event time: late observations are put in order, and events become a regular series.

A stage between decoding and admission, which exists only if `input.grace` or `input.window` is set. It is a pure
function of the observations in the order of the log: no clock and no I/O.
"""
