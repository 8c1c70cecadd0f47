"""Bank of the lean variant, with a twentieth of the state and a third of the time per series of the full variant."""
