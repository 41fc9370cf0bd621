"""Labels from files, joined with decoded rows by an engine, and judged by the live monitors."""
