"""X of a data set of which a sample is solved: one codebook, and then shard by shard."""

import numpy as np
import pytest
from pydantic import ValidationError

from tests.method.test_joint_solve import IMAGES, heads, reciting, write_features
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store
from whatwhere.config.joint import Landmarks
from whatwhere.config.methods import Global
from whatwhere.method.joint.sample import drawn, shards_of
from whatwhere.stages.joint import write_joint
from whatwhere.stages.joint_landmarks import write_codebook, write_extended

GRAPH = {"intra": 4, "inter": 4}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("shards"), reciting(heads()), (4, 3, 2))


def settings(model, kind, **choice):
    return model(kind=kind, vectors=4, graph=GRAPH, tolerance=1e-7, **choice).model_dump(mode="json")


def codebook(output, stores, **choice):
    given = {"method": settings(Landmarks, "landmarks", **choice), "seed": 0, "device": "cpu", "settings": {"by": "us"}}
    write_codebook([str(store.manifest) for store in stores], output, **given)
    return Store(output), given["method"]


def extended(folder, stores, **choice):
    """A codebook of all stores, and X of each of them."""
    book, method = codebook(folder / "book.json", stores, **choice)
    found = [folder / f"x-{number}.json" for number in range(len(stores))]
    for store, output in zip(stores, found, strict=True):
        write_extended(store, book, output, method=method, settings={})
    return [Store(output) for output in found]


def rows(*stores):
    return np.concatenate([store.read("vectors") for store in stores])


@pytest.mark.parametrize("pathway", ["vv", "qk"])
def test_a_sample_of_all_is_the_whole_set(tmp_path, shards, pathway):
    found = extended(tmp_path, shards, sample=IMAGES, landmarks=0, pathway=pathway)
    method = settings(Global, "global", operator="regularised", pathway=pathway)
    known = {"name": "reciting", "seed": 0, "device": "cpu", "settings": {}}
    inputs = [str(store.manifest) for store in shards]
    write_joint(inputs, tmp_path / "all.json", kind="global", method=method, **known)
    whole = Store(tmp_path / "all.json")
    for one in found:
        np.testing.assert_allclose(one.read("value"), whole.read("value"), rtol=5e-3)
        for about in ("grid", "graphs", "dataset", "weights"):
            assert one.attributes[about] == whole.attributes[about]
    assert [name for one in found for name in one.ids] == whole.ids
    first, second = (X[..., 0].ravel() / np.linalg.norm(X[..., 0]) for X in (rows(*found), rows(whole)))
    assert first @ second > 0.999  # by the same sign


def test_rows_do_not_depend_on_shards_nor_on_what_else_is_extended_to(tmp_path, shards):
    """To the byte, and the images that are not in the sample are extended to."""
    every = extended(tmp_path, shards, sample=5, landmarks=0)
    others = write_features(tmp_path, reciting(heads()), (2, 7))
    (tmp_path / "again").mkdir()
    again = extended(tmp_path / "again", others, sample=5, landmarks=0)
    X = rows(*every)
    np.testing.assert_array_equal(rows(*again), X)
    assert every[0].attributes["limits"] == again[1].attributes["limits"]  # one colour scale for all
    sample = drawn([name for one in every for name in one.ids], 5, seed=seed_for(0, "landmarks", "planted"))
    left = [image for image in range(IMAGES) if image not in sample]
    assert len(left) == IMAGES - 5
    assert np.isfinite(X).all()
    assert (np.abs(X[left]).max((1, 2)) > 0).all()


def test_a_codebook_is_made_of_the_shards_that_its_sample_is_in(tmp_path, shards):
    ids = {str(number): store.ids for number, store in enumerate(shards)}
    few = shards_of(ids, 2, seed=seed_for(0, "landmarks", "planted"))
    assert 0 < len(few) < len(shards)
    book, method = codebook(tmp_path / "all.json", shards, sample=2, landmarks=0)
    part, _ = codebook(tmp_path / "part.json", [shards[int(name)] for name in few], sample=2, landmarks=0)
    assert part.description["content"] == book.description["content"]
    (other,) = [number for number in range(len(shards)) if str(number) not in few][:1]
    write_extended(shards[other], part, tmp_path / "x.json", method=method, settings={})
    assert not {*Store(tmp_path / "x.json").ids} & {*part.ids}


def test_an_image_of_the_sample_has_the_rows_that_it_was_solved_with(tmp_path, shards):
    book, method = codebook(tmp_path / "book.json", shards, sample=IMAGES, landmarks=0)
    found = []
    for solved in (True, False):
        write_extended(shards[0], book, tmp_path / f"{solved}.json", method=method, settings={}, solved=solved)
        found.append(rows(Store(tmp_path / f"{solved}.json")))
    np.testing.assert_array_equal(found[0], book.read("vectors")[: len(shards[0].ids)])
    assert not np.isclose(*found).all((1, 2)).any()  # it would be its own neighbour


def test_what_the_stores_say_and_what_they_leave(tmp_path, shards):
    found = extended(tmp_path, shards, sample=5, landmarks=60)
    for one in found:
        assert one.attributes["status"].startswith("5 images solved, 60 landmarks, largest residual")
        assert (np.diff(one.read("value")) <= 0).all()
    names = {f"{name}.{end}" for name in ("book", "x-0", "x-1", "x-2") for end in ("json", "zarr")}
    assert {one.name for one in tmp_path.iterdir()} == names
    X = Store(tmp_path / "book.json").read("vectors").reshape(-1, 4)
    assert (X.max(0) == np.abs(X).max(0)).all()


def test_features_of_other_layers_are_refused(tmp_path, shards):
    book, method = codebook(tmp_path / "book.json", shards, sample=5, layers=("mid_block*",))
    with pytest.raises(InputError, match="codebook: expected the layers"):
        write_extended(shards[0], book, tmp_path / "x.json", method={**method, "layers": ("*",)}, settings={})
    assert not (tmp_path / "x.json").exists()


def test_a_graph_that_cannot_be_extended_is_refused():
    with pytest.raises(ValidationError):
        Landmarks(kind="landmarks", graph="released")
    with pytest.raises(ValidationError):
        Landmarks(kind="landmarks", graph={"symmetric": True})
