"""A package's weights as safetensors in the user's cache: written at the first use, checked by hash at each.

A file is whole or absent and its name ends in the hash of its content, so that no second file has to say what the
first should be. Where nothing can be written, weights are converted in memory each time.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from safetensors import SafetensorError
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.packaged import Packaged, file_sha256
from whatwhere.backbones.weights import read_tensors

#: Part of each file's name; to be raised whenever a conversion answers other tensors than before.
CONVERSION = 1
_SAID = logging.getLogger("whatwhere")


def packaged_tensors(weights: Packaged) -> dict[str, Tensor]:
    """The tensors of a distribution's file, from the cache where they are.

    Raises `InputError` as `Packaged.checked` and `read_tensors` do. A damaged copy in the cache is made again, and a
    line of the log says so.
    """
    weights.file()  # what is not as it should be is said, whatever the cache holds
    folder, stem = cache_folder(), f"{weights.distribution}-{weights.version}-{weights.sha256[:16]}-{CONVERSION}"
    for path in _copies(folder, stem):
        with suppress(InputError, OSError):  # as another's
            if file_sha256(path) == path.stem.rpartition("-")[2]:
                return read_tensors(path)
        _SAID.warning("whatwhere: %s: expected the content that its name ends in, got another; made again", path)
        with suppress(OSError):
            path.unlink()
    tensors = read_tensors(weights.checked())
    if folder is not None:
        with suppress(OSError, SafetensorError):  # read-only, full
            _keep(tensors, folder, stem)
    return tensors


def cache_folder() -> Path | None:
    """The platform's folder for what can be made again; None where this user has none."""
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("whatwhere", appauthor=False)
    except RuntimeError:  # nobody's home is known; older versions answer a relative path
        return None
    return folder / "weights" if folder.is_absolute() else None


def _copies(folder: Path | None, stem: str) -> list[Path]:
    try:
        return sorted(folder.glob(f"{stem}-*.safetensors")) if folder else []
    except OSError:  # a folder that may not be read
        return []


def _keep(tensors: dict[str, Tensor], folder: Path, stem: str) -> None:
    """Written beside its place and moved there: two processes that do so at once do no harm."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=folder, prefix=".", suffix=".partial", delete=False) as file:
        partial = Path(file.name)
    try:
        save_file(tensors, partial)
        os.replace(partial, folder / f"{stem}-{file_sha256(partial)}.safetensors")
    finally:
        partial.unlink(missing_ok=True)
