"""Captures of any kind, here or in an object store → one table of decoded rows, on disk."""
