"""Explanations of forecasts: mixture, seasons, and what widens the intervals."""
