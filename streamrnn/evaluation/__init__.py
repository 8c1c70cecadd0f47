"""Scores of published forecasts: baselines, tables and reports."""
