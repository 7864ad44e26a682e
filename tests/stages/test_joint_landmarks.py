"""X of a data set of which a sample is solved."""

import numpy as np
import pytest
from pydantic import ValidationError

from tests.method.test_joint_solve import IMAGES, heads, reciting, write_features
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store
from whatwhere.config.joint import Landmarks
from whatwhere.config.methods import Global
from whatwhere.method.joint.sample import drawn
from whatwhere.stages.joint import write_joint

GRAPH = {"intra": 4, "inter": 4}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("shards"), reciting(heads()), (4, 3, 2))


def solved(output, stores, kind="landmarks", **choice):
    model = {"landmarks": Landmarks, "global": Global}[kind]
    method = model(kind=kind, vectors=4, graph=GRAPH, tolerance=1e-7, **choice).model_dump(mode="json")
    known = {"name": "reciting", "seed": 0, "device": "cpu", "settings": {"made": "here"}}
    write_joint([str(store.manifest) for store in stores], output, kind=kind, method=method, **known)
    return Store(output)


def rows(store):
    return store.read("vectors").reshape(-1, 4)


@pytest.mark.parametrize("pathway", ["vv", "qk"])
def test_a_sample_of_all_is_the_whole_set(tmp_path, shards, pathway):
    found = solved(tmp_path / "some.json", shards, sample=IMAGES, landmarks=0, pathway=pathway)
    whole = solved(tmp_path / "all.json", shards, "global", operator="regularised", pathway=pathway)
    np.testing.assert_allclose(found.read("value"), whole.read("value"), rtol=5e-3)
    first, second = (one[:, 0] / np.linalg.norm(one[:, 0]) for one in (rows(found), rows(whole)))
    assert first @ second > 0.999
    assert found.attributes["grid"] == whole.attributes["grid"]
    assert found.ids == whole.ids


def test_images_that_are_left_out_of_the_sample_change_nothing(tmp_path, shards):
    """Rows of an image are the same whatever else is extended to."""
    every = solved(tmp_path / "every.json", shards, sample=5, landmarks=0)
    sample = drawn(every.ids, 5, seed=seed_for(0, "landmarks", "planted"))
    others = [image for image in range(IMAGES) if image not in sample]
    assert len(others) == IMAGES - 5
    again = solved(tmp_path / "again.json", write_features(tmp_path, reciting(heads()), (2, 7)), sample=5, landmarks=0)
    np.testing.assert_array_equal(again.read("vectors"), every.read("vectors"))
    X = every.read("vectors")
    assert np.isfinite(X).all()
    assert (np.abs(X[others]).max((1, 2)) > 0).all()


def test_what_the_store_says_and_what_it_leaves(tmp_path, shards):
    found = solved(tmp_path / "x.json", shards, sample=5, landmarks=60)
    assert found.attributes["status"].startswith("5 images solved, 60 landmarks, largest residual")
    assert {one.name for one in tmp_path.iterdir()} == {"x.json", "x.zarr"}
    assert (np.diff(found.read("value")) <= 0).all()


def test_a_graph_that_cannot_be_extended_is_refused():
    with pytest.raises(ValidationError):
        Landmarks(kind="landmarks", graph="released")
    with pytest.raises(ValidationError):
        Landmarks(kind="landmarks", graph={"symmetric": True})
