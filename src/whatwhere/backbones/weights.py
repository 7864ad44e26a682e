"""Where weights come from - a hub revision or a local file - and how they are read: never executed."""

from __future__ import annotations

import errno
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from whatwhere.artifacts.errors import HubError, InputError, NotCachedError
from whatwhere.backbones.catalogue import Preset, near
from whatwhere.backbones.onnx_file import read_onnx
from whatwhere.backbones.packaged import file_sha256

_COMMIT = re.compile(r"[0-9a-f]{40}")
#: The hub names a large file by the hash of its content.
_CONTENT = re.compile(r"[0-9a-f]{64}")


class NoSuchFileError(HubError):
    """The repository has no such file."""


def hub_file(repository: str, filename: str, *, revision: str, download: bool = True) -> Path:
    """The local copy of one file of a hub repository, in the hub's own cache: `…/snapshots/<commit>/<filename>`.

    Downloaded once; where that breaks off, the next call goes on from there. Without a network the copy that is
    there is used, and without `download` no network is asked.

    Raises `HubError` that says what to do, whatever fails.
    """
    from huggingface_hub import hf_hub_download

    where = f"weights {repository}@{revision}, file {filename}"
    try:
        if download:
            _download(repository, filename, revision)
        return Path(hf_hub_download(repository, filename, revision=revision, local_files_only=True))
    except Exception as error:  # the client, its transport and the disk fail with many types
        if not download:
            raise NotCachedError(f"{where}: not in the hub's cache on this machine; load the model once") from error
        kind, text = _what_to_do(error, repository)
        raise kind(f"{where}: {text}, or give a local folder as `model`") from error


def is_to_load(preset: Preset) -> bool:
    """Whether a model's weights are the hub's and not in its cache on this machine, all or in part.

    Of timm's models its library asks for the weights alone, of others their configurations must be there as well.
    """
    from huggingface_hub import try_to_load_from_cache

    model, revision = preset.model, preset.revision
    if preset.weights != "hub" or model == "stego" or model.startswith("zoo/") or Path(model).is_dir():
        return False
    repository = model if "/" in model else _of_timm(model)
    for described in ("model_index.json", "config.json"):
        path = try_to_load_from_cache(repository, described, revision=revision)
        if isinstance(path, str):
            folder = Path(path).parent
            networks = [file.parent for file in folder.glob("*/config.json")] or [folder]
            return not all(any(file.suffix in (".safetensors", ".bin") for file in one.iterdir()) for one in networks)
    return not isinstance(try_to_load_from_cache(repository, "model.safetensors", revision=revision), str)


def hub_cache() -> str:
    """The folder that downloads of the hub go to."""
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _of_timm(model: str) -> str:
    """Owner and name on the hub of one of timm's models."""
    from whatwhere.backbones.uncompiled import timm

    described = timm.get_pretrained_cfg(model, allow_unregistered=False) if timm.is_model(model) else None
    return str(getattr(described, "hf_hub_id", None) or f"timm/{model}")


def _download(repository: str, filename: str, revision: str) -> None:
    """Brings the file in the hub's cache up to date; what is there stays where nobody can be asked."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    known = try_to_load_from_cache(repository, filename, revision=revision)  # a path, that there is none, or None
    if known is None or not _COMMIT.fullmatch(revision):  # what a commit has and has not never changes
        url = hf_hub_url(repository, filename, revision=revision)
        try:
            found = get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
        except EntryNotFoundError:
            hf_hub_download(repository, filename, revision=revision)  # fails in the same way, and notes it in the cache
            raise
        except Exception as error:
            if isinstance(error, RevisionNotFoundError) or (known is None and hasattr(error, "response")):
                raise
            if known is None:
                raise ConnectionError(first_line(error)) from error
        else:
            if found.etag and found.commit_hash and _CONTENT.fullmatch(found.etag):
                _complete(repository, filename, found.commit_hash, found.etag, found.size)
            hf_hub_download(repository, filename, revision=revision)
            return
    if not isinstance(known, str):
        raise EntryNotFoundError(filename)


def _complete(repository: str, filename: str, commit: str, content: str, size: int | None) -> None:
    """Downloads what is missing of a large file to where the hub's client looks for it.

    The client itself keeps nothing of a download that broke off, which for gigabytes may mean never to end.
    """
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.file_download import http_get, repo_folder_name
    from huggingface_hub.utils import WeakFileLock, build_hf_headers

    cache, folder = Path(constants.HF_HUB_CACHE), repo_folder_name(repo_id=repository, repo_type="model")
    blob, lock = cache / folder / "blobs" / content, cache / ".locks" / folder / f"{content}.lock"
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            return
        partial = blob.with_name(f"{content}.incomplete")
        with partial.open("ab") as file:
            if size is not None and file.tell() > size:  # another's: not to be continued
                file.seek(0)
                file.truncate()
            http_get(
                hf_hub_url(repository, filename, revision=commit),
                file,
                resume_size=file.tell(),
                headers=build_hf_headers(),
                expected_size=size,
                displayed_filename=filename,
            )
        if file_sha256(partial) != content:
            partial.unlink()
            raise OSError("what arrived is not what the hub announced")
        partial.replace(blob)


def _what_to_do(error: Exception, repository: str) -> tuple[type[HubError], str]:
    """The kind of a failed download, and what went wrong and what helps, as the middle of a sentence."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    number = error.errno if isinstance(error, OSError) else None
    offline = isinstance(error, (ConnectionError, errors.LocalEntryNotFoundError))
    if offline or type(error).__name__ in ("ConnectError", "ConnectTimeout"):
        return (
            NotCachedError,
            f"not in the local cache and the hub cannot be reached; connect once ({first_line(error)})",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return NoSuchFileError, "the hub has no such file in it; correct the model's name or `revision`"
    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{repository}"
        text = f"the repository asks for permission; accept its terms on {page} and set HF_TOKEN to your token"
    elif isinstance(error, errors.RevisionNotFoundError):
        text = "the hub has no such revision of it; correct `revision`"
    elif isinstance(error, errors.RepositoryNotFoundError):
        names = f" (near it: {', '.join(found)})" if (found := near(repository)) else ""
        text = f"the hub has no such repository, or not for you; correct the name{names}, or set HF_TOKEN"
    elif isinstance(error, errors.HFValidationError):
        text = f"expected owner/name, got {first_line(error)}; correct the name"
    elif status in (401, 403):
        text = f"the hub refuses you (status {status}); set HF_TOKEN to a valid token with access, or unset it"
    elif status is not None:
        kind = NotCachedError if status >= 500 else HubError
        return kind, f"the hub answers with status {status}; try again later"
    elif number in (errno.ENOSPC, errno.EDQUOT):
        text = f"the disk of {constants.HF_HUB_CACHE} is full; make room or set HF_HOME to a folder on another"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
        text = f"cannot write to {constants.HF_HUB_CACHE} ({first_line(error)}); set HF_HOME to a folder of yours"
    else:
        reason = f"{type(error).__name__}: {first_line(error)}"
        text = f"the download broke off ({reason}); try again, it goes on from there"
    return HubError, text


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a checkpoint (see `read_checkpoint`), those of a training under their usual key.

    Raises `InputError` where there are none.
    """
    content = read_checkpoint(path)
    for key in ("state_dict", "model", "teacher"):  # what public training scripts wrap their tensors in
        content = inner if isinstance(inner := content.get(key), dict) else content
    found = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if not found:
        keys = ", ".join(map(repr, content))[:80] or "nothing that is named"
        raise InputError(f"weights {path}: expected a readable checkpoint of tensors, got {keys}; fetch it again")
    return found


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, tensors under names and groups of them under keys (`.safetensors`, `.onnx`, or a torch
    file read without executing it; what else a training left in it is left out or stays what it is).

    Raises `InputError` where the file is missing, damaged, or no checkpoint.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: expected a checkpoint file, found none; correct the path")
    readers = {".safetensors": _read_safetensors, ".onnx": read_onnx}
    try:
        return readers.get(path.suffix, _read_torch)(path)
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
    return file_sha256(path)[:16]


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for one of ours."""
    return (str(error).strip() or type(error).__name__).split("\n")[0][:160]


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_torch(path: Path) -> dict[str, Any]:
    from whatwhere.backbones.pickled import read_pickled

    zipped = zipfile.is_zipfile(path)
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)  # also of a torch before 1.6
    except pickle.UnpicklingError as error:  # a trainer's own classes stand beside the tensors
        if zipped:
            return read_pickled(path)
        raise InputError(
            f"weights {path}: expected a safetensors file or a torch checkpoint of tensors, got neither; "
            "fetch it again, or if it is of a torch before 1.6 and you trust it, save its tensors again: "
            'torch.save(torch.load(FILE, weights_only=False)["state_dict"], NEW)'
        ) from error
    if not isinstance(content, dict):
        raise InputError(
            f"weights {path}: expected tensors under names, got {type(content).__name__}; give a state_dict"
        )
    return content
