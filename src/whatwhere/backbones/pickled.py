"""Training checkpoints whose pickles name foreign classes: their tensors are read, and nothing of them is run.

A torch zip checkpoint is a pickle, `<name>/data.pkl`, and a file for each storage, `<name>/data/<key>`. A pickle is a
program that may call whatever it can name; here it can name only the classes below, each of which keeps what it is
given and does nothing. Tensors are made afterwards, from what was kept, within the bounds of their storages. torch's
own restricted reader refuses a file at the first foreign name (a trainer's settings, its callbacks) instead.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.manifest import line


def read_pickled_tensors(path: Path) -> dict[str, Tensor]:
    """The dense tensors of the `state_dict` in a torch zip checkpoint, by name (see `read_pickled`).

    Raises `InputError` where there is no `state_dict` with tensors in it.
    """
    content = read_pickled(path)
    entries = content.get("state_dict")
    found = {k: v for k, v in (entries if isinstance(entries, dict) else {}).items() if isinstance(v, Tensor)}
    if not found:
        keys = ", ".join(map(repr, content))[:80] or "nothing that is named"
        raise InputError(
            f"weights {path}: expected a training checkpoint with tensors under `state_dict`, got {keys}; "
            "give the file that the training wrote"
        )
    return found


def read_pickled(path: Path) -> dict[str, Any]:
    """The dense tensors in a torch zip checkpoint, in their mappings, by name, on the CPU; nothing is executed.

    Tensors that shared a storage share it again. Keys of what else the file holds stay, without it.

    Raises `InputError` where the file is missing, damaged, of the format before torch 1.6 or of another byte order.
    """
    if not path.is_file():
        raise InputError(f"weights {path}: expected a checkpoint file, found none; correct the path")
    try:
        if not zipfile.is_zipfile(path):
            raise InputError(
                f"weights {path}: expected a torch zip checkpoint, got none; the file is damaged (fetch it again) or "
                "of a torch before 1.6 (save it again with a newer one)"
            )
        with zipfile.ZipFile(path) as archive:
            return _tensors(archive)
    except InputError:
        raise
    except Exception as error:  # a damaged or hostile file can make the readers raise anything
        raise InputError(
            f"weights {path}: expected a readable checkpoint of tensors, got {type(error).__name__} "
            f"({line(error)}); the file is damaged or no checkpoint of torch's: fetch it again"
        ) from error


def _tensors(archive: zipfile.ZipFile) -> dict[str, Any]:
    folder = _folder(archive)
    content = _Reader(io.BytesIO(_record(archive, f"{folder}/data.pkl"))).load()
    storage = cache(lambda kept: _flat(archive, folder, kept))

    def made(value: Any, depth: int) -> Any:
        """Tensors in their mappings; nothing for all else."""
        if isinstance(value, _Dense):
            return value.tensor(storage(value.storage))
        if isinstance(value, dict) and depth < _DEEPEST:
            return {str(key): made(inner, depth + 1) for key, inner in value.items()}
        return None

    return made(content, 0) if isinstance(content, dict) else {}


#: Mappings in mappings that are looked into: a training's, a network's, its parts'.
_DEEPEST = 4

# What a pickle may name. Setting the state of anything changes nothing: neither an object nor, as pickles also could,
# the class itself.


class _Unchanging:
    def __setstate__(self, state: Any) -> None:
        pass


class _Inert(_Unchanging):
    """Stands for every class and function that tensors do not need, and for all that these would have made."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return self

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Keeps nothing."""
        pass

    def extend(self, items: Any) -> None:
        """Keeps nothing."""
        pass

    def add(self, item: Any) -> None:
        """Keeps nothing."""
        pass


class _Mapping(_Unchanging, dict[Any, Any]):
    """In the place of `OrderedDict`."""


class _Storage(NamedTuple):
    """A file of the archive: `elements` numbers of one type."""

    key: str
    dtype: torch.dtype
    elements: int


class _Dense(_Unchanging):
    """In the place of `torch._utils._rebuild_tensor_v2`: a tensor described, not made."""

    def __init__(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> None:
        self.storage: Any = storage
        self._offset, self._size, self._stride = offset, tuple(size), tuple(stride)

    def tensor(self, flat: Tensor) -> Tensor:
        """The view of `flat`, all numbers of the storage. Raises `ValueError` where it would leave them."""
        numbers = (self._offset, *self._size, *self._stride)
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"a tensor at {numbers}")
        last = self._offset + sum((n - 1) * step for n, step in zip(self._size, self._stride, strict=True))
        if 0 not in self._size and last >= len(flat):
            raise ValueError(f"a tensor that ends at {last} of a storage of {len(flat)}")
        return flat.as_strided(self._size, self._stride, min(self._offset, len(flat)))


class _Parameter(_Unchanging):
    """In the place of `torch._utils._rebuild_parameter`: the tensor that it wraps."""

    def __new__(cls, data: Any, *_: Any) -> Any:
        return data


_KINDS = {
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
    "ComplexFloat": torch.complex64,
    "ComplexDouble": torch.complex128,
}
_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Mapping,
    ("torch._utils", "_rebuild_tensor_v2"): _Dense,
    ("torch._utils", "_rebuild_parameter"): _Parameter,
    **{("torch", f"{kind}Storage"): dtype for kind, dtype in _KINDS.items()},
}


class _Reader(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        """One of the few names that tensors need; `_Inert` for any other: nothing is imported."""
        return _NAMES.get((module_name, global_name), _Inert)

    def persistent_load(self, pid: Any) -> Any:
        """A storage of the archive, by its key and kind, not read yet."""
        _, kind, key, _, elements = pid
        return _Storage(key, kind, elements) if isinstance(kind, torch.dtype) else _Inert()


# The archive


def _folder(archive: zipfile.ZipFile) -> str:
    """The one folder that everything is in. Raises `ValueError` where there is none, or numbers in another order."""
    folders = [name.split("/")[0] for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise ValueError(f"{len(folders)} files data.pkl instead of one")
    order = f"{folders[0]}/byteorder"  # torch before 2.1 wrote none, on machines that begin with the low byte
    if (found := archive.read(order).decode() if order in archive.namelist() else "little") != sys.byteorder:
        raise ValueError(f"{found}-endian numbers, which this machine does not read")
    return folders[0]


def _record(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} compressed, which torch never does")
    return archive.read(name)  # compares the checksum


def _flat(archive: zipfile.ZipFile, folder: str, storage: _Storage) -> Tensor:
    """All numbers of a storage. Raises `ValueError` where the file has more or fewer."""
    data = bytearray(_record(archive, f"{folder}/data/{storage.key}"))
    if len(data) != storage.elements * storage.dtype.itemsize:
        raise ValueError(f"{len(data)} bytes in data/{storage.key} instead of {storage.elements} {storage.dtype}")
    return torch.frombuffer(data, dtype=storage.dtype) if data else torch.empty(0, dtype=storage.dtype)
