"""Benchmarks and fault injection: `python -m tests.benchmarks.NAME --help`."""
