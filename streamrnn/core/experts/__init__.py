"""Point forecasters other than the networks, and detectors of drift and level shifts."""
