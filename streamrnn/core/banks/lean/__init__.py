"""The lean variant: what is known of a series in 1.5 KiB, with five simple experts, for very many series at a time."""
