"""Banks of series: state and pending forecasts per series, in two variants behind SeriesBank."""
