"""What regions are worth, on a picture whose answer is planted."""

import numpy as np
import pytest

from whatwhere.app.bench.regions import (
    CLUSTERS,
    RADII,
    Seen,
    _borders_table,
    _clusters_table,
    bench_regions,
    compared_borders,
    compared_rules,
    empty_pictures,
)
from whatwhere.app.photos import Solved
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import load_backbone


@pytest.fixture(scope="module")
def seen():
    """Two halves of a picture whose border lies within tokens; the second column of X tells them apart."""
    truth = np.broadcast_to(np.arange(160) >= 75, (120, 160)).astype(np.int16)
    image = np.where(truth[..., None] > 0, (40, 90, 180), (200, 60, 40)).astype(np.uint8)
    side = np.broadcast_to(np.arange(16) >= 7, (12, 16)).ravel()
    rng = np.random.default_rng(0)
    X = np.column_stack([np.ones(192), np.where(side, 1, -1), rng.standard_normal((192, 9))]).astype(np.float32)
    values = np.array([1.0, 0.9, *np.linspace(0.1, 0.05, 9)], np.float32)
    solved = Solved(None, X / np.linalg.norm(X, axis=0), values, (12, 16), image)
    return [Seen("BSDS500", half, image, (truth,), solved) for half in (0, 1)]


def test_rules_beside_people(seen):
    table = _clusters_table([row for one in seen for row in compared_rules(one)]).set_index("rule")
    # the tokens' border lies 5 px beside: IoUs of 85 / 90 and 70 / 75, weighed by 85 and 75 of 160 columns
    assert table.loc["diffusion, 2 steps", "covering (reported)"] == f"{(85 * 85 / 90 + 70) / 160:.3f}"
    assert table.loc["diffusion, 2 steps", ["mean K", "people's", "mean difference"]].tolist() == ["2.0", "2.0", "0.0"]
    assert table.loc[f"always {CLUSTERS}", "mean K"] == f"{CLUSTERS:.1f}"
    assert set(table.images) == {2}


def test_borders_of_the_image_are_better_than_the_tokens(seen):
    table = _borders_table([row for one in seen for row in compared_borders(one, f"i{one.half}")]).set_index("borders")
    assert len(table) == 2 + len(RADII)
    for way in ("guided filter, 2 tokens", "dense CRF"):
        assert float(table.loc[way, "mIoU (reported)"]) > float(table.loc["tokens", "mIoU (reported)"])
    assert (table["mIoU (tuned)"] == table["mIoU (reported)"]).all()


def test_empty_pictures_are_of_three_kinds_and_one_size():
    made = list(empty_pictures(20, 30))
    assert {kind for kind, _ in made} == {"flat", "noise", "noise, as JPEG"}
    assert {image.shape for _, image in made} == {(20, 30, 3)}


def test_nothing_to_compare_is_one_line():
    backbone = load_backbone("zoo-dino")
    with pytest.raises(InputError, match="expected --voc, --bsds or --photos, got none; name a folder"):
        bench_regions(backbone, voc_root=None, bsds_root=None, photos=None, images=3)
