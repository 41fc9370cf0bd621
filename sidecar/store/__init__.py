"""Where predictions await their labels, one place a file; here the kinds have their names."""
