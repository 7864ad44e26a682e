"""Spectral clustering of layer-distributed attention: which regions a vision model groups, what and where."""

from whatwhere.artifacts import provenance

__version__ = provenance.VERSION
__all__ = ["__version__"]
