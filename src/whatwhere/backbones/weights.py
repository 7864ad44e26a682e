"""Where weights come from - a hub revision or a local file - and how they are read: never executed."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whatwhere.errors import InputError


def hub_file(repository: str, filename: str, *, revision: str) -> Path:
    """The local copy of one file of a hub repository, downloaded once and resumed when broken.

    Raises `InputError` with what to do where there is no network, no permission or no such file.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    where = f"{repository}@{revision}, file {filename}"
    local = "or download it elsewhere and give its path as `weights`"
    try:
        return Path(hf_hub_download(repository, filename, revision=revision))
    except GatedRepoError as error:
        raise InputError(
            f"weights {where}: the repository asks for permission; accept its terms and set HF_TOKEN, {local}"
        ) from error
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"weights {where}: not in the local cache and the hub cannot be reached; connect once, {local}"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise InputError(
            f"weights {where}: the hub has no such repository, revision or file; correct the name, {local}"
        ) from error
    except ValueError as error:  # the hub's client refuses what cannot be a repository's name
        raise InputError(f"weights {where}: expected owner/name, got {first_line(error)}; correct the name") from error
    except OSError as error:
        raise InputError(f"weights {where}: download failed ({first_line(error)}); try again, {local}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint (`.safetensors`, or a torch file read without executing it).

    Raises `InputError` where the file is missing, damaged, or holds anything but tensors.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: expected a checkpoint file, found none; correct the path")
    try:
        return _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"weights {path}: expected a readable checkpoint of tensors, got {type(error).__name__} "
            f"({first_line(error)}); the file is damaged or not a plain checkpoint: fetch it again"
        ) from error


def load_weights(model: nn.Module, tensors: dict[str, Tensor], *, name: str, optional: tuple[str, ...]) -> None:
    """Puts `tensors` into `model`, every name and shape matching; names starting with `optional` may be extra.

    Raises `InputError` naming the first tensors that are missing, unexpected or of another shape.
    """
    wanted = model.state_dict()
    extra = [k for k in tensors if k not in wanted and not k.startswith(optional)]
    missing = [k for k in wanted if k not in tensors]
    shapes = [
        f"{k} {tuple(tensors[k].shape)} instead of {tuple(wanted[k].shape)}"
        for k in wanted
        if k in tensors and tensors[k].shape != wanted[k].shape
    ]
    faults = {"missing": missing, "unexpected": extra, "of another shape": shapes}
    if any(faults.values()):
        text = "; ".join(f"{len(v)} {k} ({', '.join(v[:2])})" for k, v in faults.items() if v)
        raise InputError(
            f"weights for {name}: expected the {len(wanted)} tensors of this model, got tensors {text}; "
            "this checkpoint belongs to another model: correct `model` or `weights`"
        )
    model.load_state_dict({k: v for k, v in tensors.items() if k in wanted})


def fingerprint(path: Path) -> str:
    """Content hash of a checkpoint, for provenance."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for one of ours."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:160]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_torch(path: Path) -> dict[str, Tensor]:
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"weights {path}: expected a safetensors file or a torch zip checkpoint, got neither; "
            "fetch it again or convert it to safetensors"
        )
    content: Any = torch.load(path, map_location="cpu", weights_only=True)
    for key in ("state_dict", "model", "teacher"):  # what public training scripts wrap their tensors in
        content = content.get(key, content)
    return {k: v for k, v in content.items() if isinstance(v, Tensor)}
