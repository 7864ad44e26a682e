"""What would else be found after hours, or said by a traceback, is a line before anything begins."""

import os
import sys
from pathlib import Path

import pytest

from whatwhere.artifacts import before


def test_nothing_hinders_where_all_is_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert before.hindrance("planted", "cpu") == ""
    assert before.hindrance_of_start([]) == ""
    assert not list(tmp_path.iterdir())  # only looked at


def test_a_read_only_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path and access(path, mode))
    line = f"{tmp_path / 'results' / 'planted'}: expected a folder to write to, got one that is read-only"
    assert before.hindrance("planted", "cpu").startswith(line)
    assert before.hindrance_of_start([]).startswith(f"{tmp_path / '.snakemake'}: expected a folder to write to")


def test_a_file_in_the_place_of_results_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results").write_text("mine")
    assert "results/planted: expected a folder to write to" in before.hindrance("planted", "cpu")


def test_a_home_that_is_not_there_is_said_with_the_variable_to_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/proc/nohome")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert before.hindrance_of_start([]).endswith("set XDG_CACHE_HOME to one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert before.hindrance_of_start([]) == ""


def test_overlays_are_read_within_bounds_before_snakemake_reads_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("deep.yaml").write_text("a: " + "[" * 5000)
    assert before.hindrance_of_start([Path("deep.yaml")]) == (
        "deep.yaml: expected keys and lists at most 60 deep, got more; correct it"
    )


@pytest.mark.parametrize(("device", "cards", "got"), [("cuda", 0, "none on this machine"), ("cuda:2", 2, "2 of them")])
def test_a_card_that_is_not_there_is_a_line(tmp_path, monkeypatch, device, cards, got):
    import torch

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    assert f"expected a graphics card for {device}, got {got}" in before.hindrance("planted", device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert before.hindrance("planted", device) == ""


def test_an_interpreter_in_a_folder_with_a_blank_is_reached_without(tmp_path, monkeypatch):
    monkeypatch.setattr(before.tempfile, "gettempdir", lambda: str(tmp_path))
    assert before.without_blank("/usr/bin/python") == "/usr/bin/python"
    (tmp_path / "my project" / "bin").mkdir(parents=True)
    interpreter = tmp_path / "my project" / "bin" / "python"
    interpreter.symlink_to(sys.executable)
    for _ in range(2):
        found = Path(before.without_blank(str(interpreter)))
        assert " " not in str(found)
        assert found.samefile(interpreter)
        assert os.readlink(found) == sys.executable


def test_a_link_that_leads_elsewhere_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(before.tempfile, "gettempdir", lambda: str(tmp_path))
    (tmp_path / "my project" / "bin").mkdir(parents=True)
    interpreter = str(tmp_path / "my project" / "bin" / "python")
    link = Path(before.without_blank(interpreter)).parents[1]
    link.unlink()
    link.symlink_to("/usr")
    assert before.without_blank(interpreter) == interpreter
