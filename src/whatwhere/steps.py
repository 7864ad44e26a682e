"""The method as five steps, in order, for use from Python.

`load_backbone` → `capture` → `random_walk` (Eq. 5) → `solve` (Eq. 3–4) → `orthogonalise` (Eq. 8) → `cluster`.
"""

from whatwhere.backbones import load_backbone
from whatwhere.backbones.capture import capture
from whatwhere.datasets.images import View, read_image, tokens_to_pixels, view_image
from whatwhere.method.cluster import cluster
from whatwhere.method.orthogonalise import orthogonalise
from whatwhere.method.solve import solve
from whatwhere.method.walk import random_walk
from whatwhere.publish.figures import eigenvector_rgb, region_overlay, save_picture

__all__ = [
    "View",
    "capture",
    "cluster",
    "eigenvector_rgb",
    "load_backbone",
    "orthogonalise",
    "random_walk",
    "read_image",
    "region_overlay",
    "save_picture",
    "solve",
    "tokens_to_pixels",
    "view_image",
]
