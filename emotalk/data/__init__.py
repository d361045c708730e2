"""Data preparation: from recording files to the manifest of training examples."""
