"""Online learning of the networks: learners, replay buffers and rollback."""
