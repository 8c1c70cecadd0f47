"""The making of a base network: synthetic series, and training on them. Nothing of it runs in the daemon."""
