"""Stores of methods, backbones and views that a configuration has no more are found, and nothing else is."""

import os

import pytest
import yaml

from tests.app.test_plan import a_tree
from whatwhere.app.cli import main
from whatwhere.app.unused import take_away, unused
from whatwhere.artifacts.store import create
from whatwhere.config import parse
from whatwhere.config.needed import computed, extracted, views


def stored(path):
    with create(path, {}, {}, {"image": ["one"]}) as store:
        store.array("x", (1, 4), "float32", ("image", "token"))[:] = 1
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of the planted configuration with a store of each kind, all of which it asks for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(a_tree()), "utf-8")
    config = parse(a_tree())
    root = tmp_path / "results" / config.run
    dataset, view = views(config)[0]
    stored(root / "images" / dataset / view / "8x8-000.json")
    stored(root / "features" / "/".join(extracted(config)[0]) / "8x8-000.json")
    for stage in ("vectors", "regions"):
        stored(root / stage / "/".join(computed(config)[0]) / "8x8-000.json")
    (root / "report.json").write_text("{}")
    return config, root


def test_all_that_is_asked_for_is_used(run, capsys):
    assert unused(run[0]) == []
    main(["show", "--unused"])
    assert "nothing" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["images/{0}/old", "features/{0}/old", "vectors/{0}/{1}/old", "regions/old/{1}/{2}"])
def test_what_is_gone_is_listed_and_taken_away(run, capsys, place):
    config, root = run
    kept = sorted(root.rglob("*"))
    manifest = stored(root / place.format(*computed(config)[0]) / "8x8-000.json")
    (found,) = unused(config)
    assert found.manifests == (manifest.relative_to(root.parents[1]),)
    assert found.bytes > 0
    main(["show", "--unused"])
    assert str(found.place) in capsys.readouterr().out
    main(["show", "--unused", "--remove"])
    assert [path for path in sorted(root.rglob("*")) if path.is_file()] == [path for path in kept if path.is_file()]


def test_what_another_run_has_as_well_frees_nothing(run):
    config, root = run
    manifest = stored(root / "features" / "old" / "old" / "8x8-000.json")
    for path in manifest.with_suffix(".zarr").rglob("*"):
        if path.is_file():
            os.link(path, path.with_suffix(".other"))
    assert unused(config)[0].bytes == 0
    take_away(unused(config))
    assert not manifest.exists()
