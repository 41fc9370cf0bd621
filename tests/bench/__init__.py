"""Measurements run by hand: `python -m tests.bench.proxy`, `python -m tests.bench.safety`."""
