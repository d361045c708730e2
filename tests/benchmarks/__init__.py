"""Measurements, each against a reference in the same run: `python -m tests.benchmarks.step`, `.epochs`, `.corpus`."""
