"""Benchmarks of fad against its peers; `python -m benchmarks.run` is the entry point."""
