"""Names of the rules that say how many regions an image has (see `choosing`)."""

from __future__ import annotations

from typing import Literal, get_args

Rule = Literal["silhouette", "diffusion", "modularity", "eigengap", "shuffled"]
RULES: tuple[Rule, ...] = get_args(Rule)
#: For one's own photographs: the best of them beside what people drew.
AUTO: Rule = "diffusion"
#: Those that may say that there is one region alone.
MAY_SAY_ONE: tuple[Rule, ...] = ("diffusion", "modularity", "shuffled")
