"""The admin side: health, metrics and the API, read-only, on an address of its own."""
