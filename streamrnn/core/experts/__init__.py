"""Point forecasters other than the networks."""
