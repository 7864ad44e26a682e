"""`config/real.yaml` on real photographs with real labels, in short; skipped where there are none."""

import csv
import os
from pathlib import Path

import pytest
import yaml

from tests.workflow.test_workflow import ROOT, Project, shipped

pytestmark = pytest.mark.slow

DATA = Path(os.environ.get("WHATWHERE_DATA", ROOT.parent / "shared" / "data"))
SETS = ("voc2012", "bsds500", "camvid", "coco_val100", "coco_val50")
METHODS = ("exact", "final", "maskcut")
#: Two images a data set, three rows.
SHORT = {
    "run": "short",
    "only": ["table1", "table3", "curves", "figure10"],
    "datasets": {"voc": {"limit": 2}, "bsds500": {"limit": 2}, "camvid": {"limit": 2}, "coco": {"limit": 2}},
    "tables": {
        "table1": {"rows": [{"labels": ["DINOv2", "", m], "backbone": "dinov2", "method": m} for m in METHODS]},
        "table3": {"rows": [{"labels": ["Ours", "DINOv2"], "backbone": "set-dinov2", "method": "what-mean"}]},
    },
    "figures": {
        "figure4": None,
        "curves": {
            "kind": "curves",
            "title": "Figure 4",
            "datasets": ["bsds500", "camvid"],
            "panels": {"DINOv2": {method: {"backbone": "dinov2", "method": method} for method in METHODS}},
        },
        "figure10": {
            "images": 2,
            "columns": [
                {"show": "image", "heading": "Image"},
                {"show": "regions", "heading": "Ours", "backbone": "dinov2", "method": "exact"},
            ],
        },
    },
}


def project(folder):
    made = Project(folder)
    shipped(folder, "real.yaml")
    (folder / "short.yaml").write_text(yaml.safe_dump(SHORT))
    return made


@pytest.fixture
def real(tmp_path, monkeypatch):
    if missing := [name for name in SETS if not (DATA / name).is_dir()]:
        pytest.skip(f"no {', '.join(missing)} under {DATA}; set WHATWHERE_DATA")
    monkeypatch.setenv("WHATWHERE_DATA", str(DATA))
    return project(tmp_path)


def test_two_photographs_of_each_set_give_tables_and_figures(real):
    real.run("--configfile", "config/real.yaml", "short.yaml")
    results = real.folder / "results" / "short"
    with (results / "tables/table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(METHODS)
    for row in rows:
        for data in ("voc", "bsds500", "camvid"):
            assert 0 < float(row[f"mIoU (ours, {data})"]) < 1
            assert row[f"Images, {data}"] == "2"
    with (results / "tables/table3.csv").open() as file:
        (row,) = csv.DictReader(file)
    for data in ("coco", "camvid"):
        assert 0 < float(row[f"Hungarian mIoU, {data}"]) < 100
        assert row[f"Images, {data}"] == "2"
    for name in ("figures/curves.png", "figures/figure10.png", "report.html"):
        assert (results / name).stat().st_size > 300


def test_the_whole_of_it_is_planned(real):
    text = real.snakemake("-n", "--configfile", "config/real.yaml")
    for name in (
        "table1.csv",
        "table6.csv",
        "table2.csv",
        "figure3_photos.png",
        "figure4.png",
        "figure10.png",
    ):
        assert name in text
    assert "table7.csv" not in text


def test_without_the_variable_one_line_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.delenv("WHATWHERE_DATA", raising=False)
    text = project(tmp_path).snakemake("-n", "--configfile", "config/real.yaml", status=2)
    (line,) = {line for line in text.splitlines() if line.startswith("whatwhere: ")}
    assert "root: expected the environment variable WHATWHERE_DATA to be set" in line
    assert "set it to the folder" in line
