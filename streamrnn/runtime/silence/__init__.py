"""What is done while nothing comes: heartbeats of a partition, and forecasts of series that have stopped."""
