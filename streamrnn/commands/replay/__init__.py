"""`streamrnn replay`: compute a range of the log again, without writing to it."""
