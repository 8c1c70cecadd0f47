"""Event time: observations that arrive late are put in order, and events become a regular series.

A stage between decoding and admission, which exists only where `input.grace` or `input.window` is set. It is a pure
function of the observations in the order of the log: no clock and no I/O.
"""
