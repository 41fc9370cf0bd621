"""A transparent proxy beside any model server that watches the model."""

__version__ = "0.1.0"
