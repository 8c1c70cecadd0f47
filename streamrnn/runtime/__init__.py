"""The loop of the daemon: polls, feeds and commits; tasks, their snapshots, and restarts."""
