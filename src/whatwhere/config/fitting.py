"""Which methods a row of each kind of table, and each part of a figure, can ask for."""

from __future__ import annotations

from whatwhere.config.cuts import MaskCut, Ncut, TokenCut
from whatwhere.config.joint import Joint
from whatwhere.config.methods import Final, Largest, Position, Solver, Tokens, Truth

#: The methods that a row of each kind of table can ask for, and what they are in words.
SINGLE = (Solver, Final, Position, Ncut, TokenCut, MaskCut)
FITTING: dict[str, tuple[tuple[type, ...], str]] = {
    "oracle": (SINGLE, "a method for one image"),
    "seconds": ((Solver,), "one with a solver to time"),
    "matching": ((Joint, Final, Position, Largest), "a solver for a data set, final, position or largest"),
    "position": (
        (Joint, Final, Position, Largest, Truth),
        "a solver for a data set, final, position, largest or truth",
    ),
    "zeroshot": ((*SINGLE, Tokens), "a method for one image or tokens"),
    "instances": (SINGLE, "a method for one image"),
}
#: The same of parts of figures.
SHOWING: dict[str, tuple[tuple[type, ...], str]] = {
    "eigenvectors": ((Solver, Final, Position, Ncut, Largest, Joint), "a method that answers vectors"),
    "regions": ((*SINGLE, Largest, Joint), "a method whose regions are kept"),
    "named": FITTING["zeroshot"],
    "proposals": FITTING["instances"],
    "curves": FITTING["oracle"],
}
