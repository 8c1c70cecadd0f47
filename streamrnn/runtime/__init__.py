"""The loop of the daemon: poll, feed, commit; tasks, their snapshots, and restarts."""
