"""Timings of the emitted functions beside peers written by hand; `python -m benchmarks --help`."""
