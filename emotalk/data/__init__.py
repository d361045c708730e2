"""Data: from files of recordings to a manifest of training examples."""
