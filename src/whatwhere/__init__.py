"""Spectral clustering of layer-distributed attention: which regions a vision model groups, what and where."""

__version__ = "0.1.0"
