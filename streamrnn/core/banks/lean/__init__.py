"""Bank of the lean variant: a twentieth of the state and a third of the time per series of the full one."""
