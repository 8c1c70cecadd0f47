"""Silence: heartbeats of partitions without records, and the end of series without observations."""
