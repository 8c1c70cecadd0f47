"""Banks of series: state and pending forecasts of all series, in two variants with the interface `SeriesBank`."""
