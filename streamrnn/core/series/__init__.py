"""State of the individual series: scales, cadence, seasons, and the inputs of the networks."""
