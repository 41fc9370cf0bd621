"""From Python: captured traffic as a table, and any frame against a reference."""
