"""One warm parent for all runs of these tests: for Snakemake itself, and for its jobs."""

import os

import pytest

from whatwhere.artifacts.warm import LIBRARIES, SOCKET, Warm


@pytest.fixture(scope="package", autouse=True)
def warm():
    """Says in the environment where the parent listens; a test that must not have it takes it out (`cold`)."""
    parent = Warm(("snakemake.cli", "snakemake.executors.local", *LIBRARIES))
    os.environ[SOCKET] = parent.start()
    yield
    del os.environ[SOCKET]
    parent.stop()


@pytest.fixture
def cold(monkeypatch):
    """Runs start by themselves, as a user's do."""
    monkeypatch.delenv(SOCKET)
