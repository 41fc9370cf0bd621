"""Rows on an engine → counts, and what the live monitors say of them."""
