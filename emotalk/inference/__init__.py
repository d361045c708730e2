"""Inference: predict motion for speech of any length."""
