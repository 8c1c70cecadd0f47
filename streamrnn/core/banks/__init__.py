"""Banks of series: the state and the pending forecasts of all series, in two variants behind `SeriesBank`."""
