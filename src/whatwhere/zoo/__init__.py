"""Small backbones trained on rendered scenes, one folder each, in the layouts of their full-size siblings.

docs/zoo.md says how they were trained and what they learned; `snakemake zoo` trains them again.
"""

from __future__ import annotations

from pathlib import Path

from whatwhere.artifacts.errors import InputError

#: Where the members' folders are, inside the installed package.
ZOO = Path(__file__).parent


def members() -> list[str]:
    """The families that are shipped."""
    return sorted(folder.name for folder in ZOO.iterdir() if list(folder.glob("*.json")))


def folder_of(model: str) -> Path | None:
    """Where a model's files are if they are here: `zoo/…` in this package, or a folder. None: on the hub.

    Raises `InputError` for an unknown member of the zoo, or what is neither a folder nor owner/name.
    """
    member = model.removeprefix("zoo/")
    if member != model:
        if member not in members():
            known = ", ".join(f"zoo/{name}" for name in members()) or "none that are shipped"
            raise InputError(f"model {model}: expected one of {known}; `snakemake zoo` trains them")
        return ZOO / member
    if Path(model).is_dir():
        return Path(model)
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise InputError(f"model {model}: expected a folder, a repository of the hub (owner/name) or zoo/…, got none")
    return None
