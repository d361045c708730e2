"""Using a trained network: speech of any length becomes motion."""
