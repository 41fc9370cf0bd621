"""Who serves a request, and under which name it is counted: values in, values out."""
