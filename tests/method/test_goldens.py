"""What public implementations answered to small questions: ours must answer the same, to 1e-4.

The files lie beside the repository, or where the environment variable WHATWHERE_GOLDENS says.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from whatwhere.baselines.maskcut import maskcut
from whatwhere.baselines.tokencut import tokencut
from whatwhere.evaluate.matching import accuracy, greedy, hungarian, matching_counts, mean_iou
from whatwhere.evaluate.silhouette import mask_scores
from whatwhere.method.choosing import silhouettes
from whatwhere.method.joint.graph import affinity, random_walk, symmetric_part, unit_rows
from whatwhere.method.joint.loss import column_cosines, joint_quotients, stacked, unit_columns
from whatwhere.method.joint.sparsity import RELEASED_SLACK, Sparsity
from whatwhere.method.objective import pooled, quotients
from whatwhere.method.solve.released import cosines
from whatwhere.method.walk import LayerWalk, Walks

FOLDER = Path(os.environ.get("WHATWHERE_GOLDENS", Path(__file__).parents[3] / "shared" / "goldens"))
FILES = sorted(FOLDER.glob("*.npz"))


def same(found, expected):
    """Equal to 1e-4, of the largest entry where all are small."""
    np.testing.assert_allclose(found, expected, atol=1e-4 * min(1, np.abs(expected).max()), rtol=0)


def same_up_to_sign(found, expected):
    same(found * np.sign((found * expected).sum()), expected)


def check_per_image_objective(golden):
    """The released solver's two terms at X: quotients `[1, graph, vector]` and cosines at both resolutions."""
    image = torch.from_numpy(golden["features"])
    X = image.flatten(1).T[None]
    walks = Walks(tuple(walk_of(golden[f"attention_{side}"], side) for side in (14, 7)))
    found = quotients(X[0], walks, pooled).split([a.heads for a in walks.layers])
    for side, of_graphs, of_columns in zip((14, 7), found, cosines(X, walks)[0], strict=True):
        same(of_graphs[None], golden[f"eigval_{side}"])
        same(of_columns, golden[f"offdiag_{side}"])


def walk_of(P, side):
    """Given walks as a layer: the softmax of their logarithm is they themselves."""
    source = torch.from_numpy(P).log()
    target = torch.eye(side**2).expand_as(source)
    return LayerWalk(f"{side}", source, target, 1.0, (side, side), "walk")


def check_dataset_objective(golden):
    """One X over the tokens of all images, its columns to unit length over them all; `eigval` `[vector]`: xᵀPx."""
    grid = golden["features"].shape[2:]
    X = torch.from_numpy(golden["features"]).movedim(1, -1).flatten(1, 2)  # image, token, vector
    graphs = stacked(grid, [symmetric_part(sparse.csr_array(golden["walk"]))])
    same(joint_quotients(X, [graphs], grid)[0], golden["eigval"])
    vectors = X.shape[2]
    same(column_cosines(unit_columns(X)).reshape(1, vectors - 1, vectors), golden["offdiag"])


def check_dataset_graph(golden):
    """The released code's walk over a few images, each vector `[image, token, channel]`."""
    settings = int(golden["n_intra"]), int(golden["n_inter"]), float(golden["threshold"])
    sparsity = Sparsity(*settings, symmetric=True, slack=RELEASED_SLACK)
    q, k, v = (unit_rows(torch.from_numpy(golden[name])[:, None]) for name in "qkv")
    for source, target, name in ((q, k, "walk_qk"), (v, v, "walk_vv")):
        same(random_walk(affinity(source, target, sparsity), sparsity.slack).toarray(), golden[name])


def check_silhouette(golden):
    same(silhouettes(golden["features"], {3: golden["labels"]})[3], golden["silhouette"])
    same(mask_scores(golden["features"], np.moveaxis(golden["masks"] > 0, -1, 0)), golden["mask_scores"])


def check_token_mask_cut(golden):
    grid, features = tuple(golden["grid"].tolist()), golden["features"]
    cut = tokencut(features, grid, threshold=float(golden["tokencut_tau"]), patch_px=int(golden["patch"]))
    same_up_to_sign(cut.eigenvector, golden["tokencut_eigvec"])
    np.testing.assert_array_equal(cut.mask, golden["tokencut_mask"])
    assert cut.box == tuple(golden["tokencut_box"])
    # where several tokens have the largest entry, which one is the seed is up to the eigensolver's rounding
    seed = int(golden["tokencut_seed"])
    assert cut.mask.flat[seed]
    assert cut.eigenvector.flat[seed] == pytest.approx(cut.eigenvector.flat[cut.seed], rel=1e-9)
    objects = maskcut(features, grid, threshold=float(golden["maskcut_tau"]))
    np.testing.assert_array_equal(objects.masks, golden["maskcut_masks"])
    for found, expected in zip(objects.eigenvectors, golden["maskcut_eigvecs"], strict=True):
        same_up_to_sign(found, expected)


def check_matching(golden):
    classes = int(golden["n_classes"])
    images = zip(golden["predictions"], golden["labels"], strict=True)
    counts = sum(matching_counts(p, t, clusters=classes, classes=classes) for p, t in images)
    same(100 * mean_iou(counts, hungarian(counts)), golden["stego_hungarian_miou"])
    same(100 * accuracy(counts, hungarian(counts)), golden["stego_accuracy"])
    same(mean_iou(counts, greedy(counts)), golden["authors_greedy_miou"])


CHECKS = {
    "per_image_objective": check_per_image_objective,
    "dataset_objective": check_dataset_objective,
    "dataset_graph": check_dataset_graph,
    "silhouette": check_silhouette,
    "token_mask_cut": check_token_mask_cut,
    "matching": check_matching,
}


def check_of(name):
    """The check of a golden, by its name without a number."""
    kind = name.rstrip("0123456789").removesuffix("_")
    if kind not in CHECKS:
        pytest.fail(f"{name}.npz has no check: write check_{kind} and enter it in CHECKS", pytrace=False)
    return CHECKS[kind]


@pytest.mark.skipif(not FILES, reason=f"no goldens in {FOLDER}: set WHATWHERE_GOLDENS to the folder that has them")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_golden(file):
    check = check_of(file.stem)
    with np.load(file) as golden:
        check(golden)


def test_a_golden_without_a_check_fails():
    with pytest.raises(pytest.fail.Exception, match=r"unheard_of_3.npz has no check: write check_unheard_of"):
        check_of("unheard_of_3")
