"""The method as five steps, in order, for use from Python.

`load_backbone` → `capture` → `random_walk` (Eq. 5) → `solve` (Eq. 3–4) → `orthogonalise` (Eq. 8) → `cluster`.
"""

from whatwhere.backbones import load_backbone
from whatwhere.capture import capture
from whatwhere.cluster import cluster
from whatwhere.images import View, read_image, tokens_to_pixels, view_image
from whatwhere.orthogonalise import orthogonalise
from whatwhere.solve import solve
from whatwhere.walk import random_walk

__all__ = [
    "View",
    "capture",
    "cluster",
    "load_backbone",
    "orthogonalise",
    "random_walk",
    "read_image",
    "solve",
    "tokens_to_pixels",
    "view_image",
]
