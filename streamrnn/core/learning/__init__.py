"""Online learning: learners, replay buffers and rollback."""
