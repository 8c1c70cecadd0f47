"""Aggregation of forecasts, adjustments, conformal calibration, and the ledger of pending forecasts."""
