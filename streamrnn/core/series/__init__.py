"""State of single series: scales, calendar, seasons and features."""
