"""What made an artifact: the versions that a result may depend on."""

from __future__ import annotations

from contextlib import suppress

#: Of this package.
VERSION = "0.1.0"


def provenance() -> dict[str, str]:
    """Versions that a result may depend on, of what is installed (not every stage's environment has all)."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "whatwhere": VERSION}
    for name in ("torch", "timm", "numpy", "scipy", "scikit-learn", "zarr"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
