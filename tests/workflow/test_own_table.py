"""README's table of one's own, run as printed: it ends with a score."""

import csv

import numpy as np
import pytest
from PIL import Image

from tests.workflow.test_packaging import readme_code
from tests.workflow.test_workflow import Project, shipped
from whatwhere.datasets import load_dataset

pytestmark = pytest.mark.slow


def test_the_readmes_overlay_ends_with_a_score(tmp_path):
    project = Project(tmp_path)
    shipped(tmp_path)
    data = tmp_path / "data"
    for record in load_dataset("scenes", kind="scenes", images=2, size_px=96, first_seed=0).records:
        for folder, pixels in (("photos", record.image()), ("labels", record.labels()[0].astype(np.uint8))):
            (data / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(data / folder / f"{record.id}.png")
    (example,) = readme_code("yaml")
    assert "/data/photos" in example
    (tmp_path / "mine.yaml").write_text(example.replace("/data/", f"{data}/"))
    project.run("--configfile", "mine.yaml")
    with (tmp_path / "results/mine/tables/mine.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["Backbone"], row["Method"]) for row in rows] == [("dinov2", "exact"), ("dinov2", "final")]
    assert all(0 < float(row["mIoU [low]"]) <= float(row["mIoU [value]"]) <= 1 for row in rows)
    page = (tmp_path / "results/mine/report.html").read_text("utf-8")
    assert "claims-heading" not in page
    assert "zoo/" not in page
