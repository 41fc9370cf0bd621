"""The configuration: frozen structs, read whole from file, environment and flags; an error names its path."""
