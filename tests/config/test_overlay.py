"""Overlays: merged as the workflow merges them, and what is wrong with a file said in a line."""

import json
from pathlib import Path

import pytest
import yaml

from tests.app.test_plan import a_tree
from whatwhere.artifacts.errors import InputError
from whatwhere.config.overlay import configured, configured_run, merged


def test_overlays_merge_as_the_workflow_merges_them():
    update_config = pytest.importorskip("snakemake.utils").update_config
    trees = [
        {"a": {"x": 1, "y": {"z": [1, 2]}}, "b": {"c": 1}, "d": 1},
        {"a": {"y": {"z": [3], "w": None}}, "b": None, "d": {"e": 2}},
        {"b": {"c": {"f": 3}}, "a": {"x": {"deep": 1}}},
    ]
    by_the_workflow = json.loads(json.dumps(trees[0]))
    for tree in trees[1:]:
        update_config(by_the_workflow, json.loads(json.dumps(tree)))
    assert merged(*trees) == by_the_workflow
    assert trees[0]["a"]["y"] == {"z": [1, 2]}  # what is given stays as it is


def test_null_takes_an_entry_away_and_lists_replace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(a_tree()), "utf-8")
    less = {"tables": {"one": {"rows": [{"labels": ["x"], "backbone": "dino", "method": "exact"}]}}}
    for name, tree in {"less.yaml": less, "none.yaml": {"backbones": {"unet": None}}}.items():
        Path(name).write_text(yaml.safe_dump(tree), "utf-8")
    config = configured([Path("less.yaml"), Path("none.yaml")])
    assert list(config.backbones) == ["dino"]
    assert len(config.tables["one"].rows) == 1
    assert config.run == "less-none"
    assert configured([]).run == "planted"  # of config.yaml


def test_single_values_of_the_command_line(tmp_path, monkeypatch):
    """A number is a name, and null takes away, also where Snakemake has read it as a word."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(yaml.safe_dump(a_tree()), "utf-8")
    config = configured_run([], {"run": 2024, "tables": {"one": "null"}, "only": None})
    assert (config.run, list(config.tables)) == ("2024", [])


def test_a_missing_overlay_and_one_that_is_no_yaml_are_a_line_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.yaml: expected a configuration file"):
        configured([Path("nowhere.yaml")])
    with pytest.raises(InputError, match=r"config\.yaml: expected a configuration, found no such file"):
        configured([])
    Path("bad.yaml").write_text("a: [", "utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: expected YAML"):
        configured([Path("bad.yaml")])
