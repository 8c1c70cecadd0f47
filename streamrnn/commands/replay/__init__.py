"""`streamrnn replay`: a range of the log computed once more, beside the daemon and without a trace."""
