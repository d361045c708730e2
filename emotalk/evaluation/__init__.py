"""Evaluation of the trained network on the test split, compared with baselines."""
