"""Shared by all tests: one thread per process, so that parallel test workers do not fight over cores; a server."""

import compileall
import os
import threading
from pathlib import Path

import pytest

for pool in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

from tests.serving import Server  # noqa: E402 (it imports numpy)


def pytest_configure(config):
    """The package is compiled once: dozens of tests copy it, and each copy's first jobs would compile it again."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(Path(__file__).parents[1] / "src", quiet=2)


def pytest_collection_modifyitems(items):
    """Whole runs come first, so that no worker waits at the end for another's, and none makes one that another has."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with Server() as served:
        threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield served
        served.shutdown()
