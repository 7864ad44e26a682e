"""Spectral clustering of layer-distributed attention: which regions a vision model groups, what and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from whatwhere.artifacts import provenance

if TYPE_CHECKING:
    from whatwhere.app.explore.photos import explore
    from whatwhere.artifacts.run import open_run

__version__ = provenance.VERSION
__all__ = ["__version__", "explore", "open_run"]


def __getattr__(name: str) -> Any:
    """What is imported when it is asked for, so that importing the package stays cheap."""
    if name == "open_run":
        from whatwhere.artifacts.run import open_run

        return open_run
    if name == "explore":
        from whatwhere.app.explore.photos import explore

        return explore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
