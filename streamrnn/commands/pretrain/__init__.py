"""Pretraining of base networks on synthetic series; the daemon does not use it."""
