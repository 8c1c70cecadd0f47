"""`streamrnn bench` measures this machine, and `streamrnn plan` sizes a deployment from that."""
