"""HTTP/1 as bytes and values; no sockets, no clock."""
