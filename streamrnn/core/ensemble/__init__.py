"""Aggregation of forecasts, conformal intervals, and the ledger of pending forecasts."""
