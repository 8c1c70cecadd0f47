"""Banks of series: all state per series, in two variants."""
