"""The stages, artifact to artifact: what goes in comes out, and nothing depends on shards or order."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from PIL import Image
from pycocotools import mask as run_lengths

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.seeding import seed_for
from whatwhere.artifacts.store import Store, read_json
from whatwhere.backbones import load_backbone
from whatwhere.backbones.capture import capture
from whatwhere.datasets import IGNORE, Dataset, Instance, Record, folder, load_dataset
from whatwhere.datasets import fingerprint as files_fingerprint
from whatwhere.datasets.images import View
from whatwhere.evaluate.borders import to_pixels
from whatwhere.evaluate.oracle import oracle_counts
from whatwhere.method.cluster import cluster
from whatwhere.stages.baselines import FINDERS, keys, last_layer, write_baseline
from whatwhere.stages.features import extract, read_features
from whatwhere.stages.images import write_images, write_index
from whatwhere.stages.regions import write_regions
from whatwhere.stages.scores import write_scores
from whatwhere.stages.vectors import write_vectors

VIEW = View("none", 1, 16)
TINY = {"embed_dim": 24, "depth": 2, "num_heads": 3}
EVERY_LAYER = {"layers": ["*"]}
METHODS = {
    "exact": {"pathway": "qk", "operator": "normalised", "vectors": 4, **EVERY_LAYER},
    "gradient": {"pathway": "vv", "operator": "walk", "vectors": 4, "steps": 20, "learning_rate": 0.01, **EVERY_LAYER},
    "released": {"pathway": "qk", "operator": "walk", "vectors": 4, "steps": 3, **EVERY_LAYER},
    "final": {},
    "position": {},
    "ncut": {"source": "features", "threshold": 0.2, "vectors": 3},
    "tokencut": {"threshold": 0.2},
    "maskcut": {"threshold": 0.15, "masks": 3},
}
MASKS = ("tokencut", "maskcut")


def picture(index, height=64, width=64):
    rng = np.random.default_rng(index)
    image = np.zeros((height, width, 3), np.uint8)
    labels = np.zeros((height, width), np.int16)
    for label in range(1, 4):
        y, x = rng.integers(0, (height - 20, width - 20))
        labels[y : y + 24, x : x + 24] = label
    image[:] = (np.array([[20, 40, 60], [200, 30, 30], [30, 200, 30], [220, 220, 60]]))[labels]
    return image + rng.integers(0, 20, image.shape).astype(np.uint8), labels


def dataset(indices=range(5), sizes=((64, 64),)):
    def record(i):
        image, labels = picture(i, *sizes[i % len(sizes)])
        return Record(
            f"image-{i}",
            image=lambda: image,
            labels=lambda: (labels,) if i % 2 else (labels, np.where(labels == 3, IGNORE, labels).astype(np.int16)),
            instances=lambda: (Instance(1, labels == 1),),
            captions=lambda: (f"picture {i}",),
        )

    return Dataset("planted", tuple(record(i) for i in indices), ("ground", "red", "green", "yellow"))


def run(root, data, *, shard_images=512, batch_images=1, methods=("exact",), values=False):
    """All stages below `root`; answers {shard: {artifact: manifest}} and the scores of each method."""
    write_index(data, root / "index.json", view=VIEW, shard_images=shard_images, unreadable="stop", settings={})
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    made = {}
    index = read_json(root / "index.json")
    for shard, ids in index["shards"].items():
        paths = {stage: root / stage / f"{shard}.json" for stage in ("images", "features")}
        given = {"numbers": index["numbers"], "view": VIEW, "run_images": 2, "settings": {}}
        write_images(data, ids, paths["images"], root / f"{shard}.coco.json", **given)
        settings = {"values": values, "batch_images": batch_images, "run_images": 2, "seed": 0, "settings": {}}
        extract(Store(paths["images"]), backbone, paths["features"], **settings)
        for method in methods:
            paths[method] = root / method / f"{shard}.json"
            paths[f"regions-{method}"] = root / f"regions-{method}" / f"{shard}.json"
            paths[f"scores-{method}"] = root / f"{method}-{shard}.parquet"
            features = Store(paths["features"])
            given = {"kind": method, "method": METHODS[method], "settings": {}}
            if method in FINDERS:
                write_baseline(features, paths[method], **given)
            else:
                write_vectors(features, paths[method], **given, seed=0, device="cpu")
            write_regions(
                Store(paths[method]),
                paths[f"regions-{method}"],
                clusters="auto",
                candidates=(2, 3, 4, 5),
                restarts=2,
                seed=0,
                settings={},
            )
            regions = Store(paths[f"regions-{method}"])
            write_scores(Store(paths["images"]), regions, paths[f"scores-{method}"])
        made[shard] = paths
    return made


def write_shard(root, data, *, view=VIEW, run_images=1):
    """All images of a data set as one shard, the i-th with the number 10 + i: the store, and the COCO JSON."""
    ids = [record.id for record in data.records]
    numbers = {name: 10 + place for place, name in enumerate(ids)}
    given = {"numbers": numbers, "view": view, "run_images": run_images, "settings": {}}
    write_images(data, ids, root / "i.json", root / "c.json", **given)
    return Store(root / "i.json"), read_json(root / "c.json")


def by_id(made, stage, array):
    return {
        name: Store(paths[stage]).read(array, i)
        for paths in made.values()
        for i, name in enumerate(Store(paths[stage]).ids)
    }


def test_stored_features_are_the_captured_ones(tmp_path):
    made = run(tmp_path, dataset(range(3)), values=True)
    (paths,) = made.values()
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    for i in range(3):
        expected = capture(backbone, picture(i)[0][None])
        found = read_features(Store(paths["features"]), i)
        assert [a.name for a in found.layers] == [a.name for a in expected.layers]
        for a, b in zip(found.layers, expected.layers, strict=True):
            assert (a.grid, a.scale) == (b.grid, b.scale)
            for x, y in ((a.query, b.query), (a.key, b.key), (a.value, b.value)):
                assert torch.equal(x, y.half().float())
        assert torch.equal(found.final, expected.final.half().float())


def test_values_are_stored_on_demand_only(tmp_path):
    (paths,) = run(tmp_path, dataset(range(1))).values()
    assert set(Store(paths["features"]).description["arrays"]) == {"4x4/q", "4x4/k", "tokens/final"}


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_shards_or_order(tmp_path, method):
    settings = {"methods": (method,), "values": True}
    whole = run(tmp_path / "whole", dataset(), **settings)
    pieces = run(tmp_path / "pieces", dataset([3, 1, 4, 0, 2]), shard_images=2, **settings)
    assert len(whole) == 1
    assert len(pieces) == 3
    found = "masks" if method in MASKS else "vectors"
    for stage, array in (("features", "tokens/final"), (method, found), (f"regions-{method}", "regions")):
        a, b = by_id(whole, stage, array), by_id(pieces, stage, array)
        assert a.keys() == b.keys()
        for name in a:
            assert np.array_equal(a[name], b[name]), (stage, name)
    frames = [
        pd.concat(pd.read_parquet(p[f"scores-{method}"]) for p in made.values())
        .sort_values(["image", "clusters", "annotator", "label"])
        .reset_index(drop=True)
        for made in (whole, pieces)
    ]
    pd.testing.assert_frame_equal(*frames)


def test_batches_change_no_more_than_the_last_bits(tmp_path):
    one, three = (run(tmp_path / str(b), dataset(), batch_images=b) for b in (1, 3))
    a, b = (by_id(made, "features", "tokens/final") for made in (one, three))
    for name in a:
        np.testing.assert_allclose(a[name].astype(np.float32), b[name].astype(np.float32), atol=2e-3)


def test_unequal_shapes_go_into_shards_of_one_grid(tmp_path):
    made = run(tmp_path, dataset(range(6), sizes=((64, 64), (64, 96))))
    assert list(made) == ["64x64-000", "64x96-000"]
    grids = [Store(paths["exact"]).attributes["grid"] for paths in made.values()]
    assert grids == [[4, 4], [4, 6]]


def test_scores_count_every_annotator(tmp_path):
    (paths,) = run(tmp_path, dataset(range(2))).values()
    scores = pd.read_parquet(paths["scores-exact"])
    assert scores.groupby("image").annotator.nunique().to_dict() == {"image-0": 2, "image-1": 1}
    valid = (dataset(range(1)).records[0].labels()[1] != IGNORE).sum()
    second = scores[(scores.image == "image-0") & (scores.annotator == 1)]
    assert set(second.groupby("clusters").actual.sum()) == {valid}
    union = scores.predicted + scores.actual - scores.intersection
    np.testing.assert_allclose(scores.iou, scores.intersection / union)


def test_another_rule_and_borders_of_the_image_are_settings(tmp_path):
    (paths,) = run(tmp_path, dataset(range(2)), methods=("exact", "gradient"), values=True).values()
    given = {"clusters": "auto", "candidates": (2, 3), "restarts": 2, "seed": 0, "settings": {}}
    rows = {}
    for method, values in (("exact", True), ("gradient", False)):
        vectors = Store(paths[method])
        write_regions(vectors, tmp_path / "r.json", choose="diffusion", borders="image", **given)
        regions = Store(tmp_path / "r.json")
        assert regions.coordinate("partition") == [1, 2, 3]
        for i, name in enumerate(regions.ids):
            known = {"values": np.array(vectors.coordinate("value")[i])} if values else {}
            own = seed_for(0, "cluster", name)
            wanted = cluster(
                vectors.read("vectors", i), candidates=(2, 3), restarts=2, seed=own, choose="diffusion", **known
            )
            assert regions.coordinate("chosen")[i] == wanted.clusters
            np.testing.assert_array_equal(regions.read("regions", (i, 2)), wanted.partitions[3])
        write_scores(Store(paths["images"]), regions, tmp_path / "s.parquet")
        rows[method] = pd.read_parquet(tmp_path / "s.parquet")
    images, found = Store(paths["images"]), regions.read("regions", (0, 1)).reshape(4, 4)
    counts = oracle_counts(to_pixels(found, images.read("rgb", 0)), images.read("labels", 0)[0])
    own = rows["gradient"].query("image == 'image-0' and annotator == 0 and clusters == 2")
    assert own.intersection.tolist() == counts["intersection"].tolist()
    assert own.predicted.sum() == 64 * 64


def test_every_partition_is_kept_and_scored(tmp_path):
    (paths,) = run(tmp_path, dataset(range(3))).values()
    regions, scores = Store(paths["regions-exact"]), pd.read_parquet(paths["scores-exact"])
    assert regions.coordinate("partition") == [2, 3, 4, 5]
    for i, name in enumerate(regions.ids):
        for number, k in enumerate([2, 3, 4, 5]):
            assert set(regions.read("regions", (i, number))) == set(range(k))
        silhouettes = dict(zip([2, 3, 4, 5], regions.read("silhouettes", i), strict=True))
        best = max(silhouettes, key=silhouettes.get)
        assert regions.coordinate("chosen")[i] == best
        own = scores[(scores.image == name) & scores.chosen]
        assert set(own.clusters) == {best}
    assert set(scores.clusters) == {2, 3, 4, 5}
    assert set(scores.graphs) == {"6 graphs of 2 layers, 4×4"}


def test_masks_become_one_partition_with_the_background(tmp_path):
    (paths,) = run(tmp_path, dataset(range(3)), methods=MASKS).values()
    for method, most in (("tokencut", 1), ("maskcut", 3)):
        masks, regions = Store(paths[method]).read("masks"), Store(paths[f"regions-{method}"]).read("regions")
        assert masks.shape[1] == most
        assert regions.shape[1] == 1
        first = np.where(masks.any(1), masks.argmax(1) + 1, 0)  # the earliest mask that holds the token
        assert np.array_equal(regions[:, 0], first)


def test_baselines_read_the_last_layer(tmp_path):
    (paths,) = run(tmp_path, dataset(range(2)), methods=("position",)).values()
    features = Store(paths["features"])
    last = read_features(features, 1).layers[-1]
    heads, grid, scale = last_layer(features, 1)
    assert (grid, scale) == (last.grid, last.scale)
    assert np.array_equal(heads["q"], last.query[0].numpy())
    assert np.array_equal(keys(features, 1)[0], np.concatenate(list(last.key[0].numpy()), axis=1))
    positions = Store(paths["position"]).read("vectors", 0).reshape(4, 4, 2)
    assert np.allclose(positions[:, 0, 0], [0, 1 / 3, 2 / 3, 1])
    assert np.allclose(positions[2, :, 1], [0, 1 / 3, 2 / 3, 1])


def test_noise_samples_are_layers_and_follow_the_image(tmp_path):
    data = dataset(range(3))
    write_shard(tmp_path, data, run_images=2)
    backbone = load_backbone("zoo-diffusion", options={"t_min": 0, "t_max": 500, "samples": 3})
    choice = {"values": False, "batch_images": 1, "run_images": 2, "seed": 5, "settings": {}}
    extract(Store(tmp_path / "i.json"), backbone, tmp_path / "f.json", **choice)
    stored = Store(tmp_path / "f.json")
    features = read_features(stored, 2)
    assert [layer.sample for layer in features.layers] == [
        s for s in range(3) for _ in range(len(features.layers) // 3)
    ]
    seed = seed_for(5, "noise", stored.ids[2])
    alone = capture(backbone, picture(2)[0][None], seeds=[seed])
    for a, b in zip(features.layers, alone.layers, strict=True):
        assert torch.equal(a.query, b.query.half().float())
    other = capture(backbone, picture(2)[0][None], seeds=[seed + 1])
    assert not torch.equal(alone.layers[0].query, other.layers[0].query)
    heads, *_ = last_layer(stored, 0)
    assert len(heads["k"]) == 3 * features.layers[-1].key.shape[1]  # all samples of the last layer


def test_stored_layers_are_found_by_their_names(tmp_path):
    write_shard(tmp_path, dataset(range(2)))
    backbone = load_backbone("zoo-diffusion", options={"t_min": 0, "t_max": 500, "samples": 2})
    choice = {"values": False, "batch_images": 1, "run_images": 2, "seed": 5, "settings": {}}
    extract(Store(tmp_path / "i.json"), backbone, tmp_path / "f.json", **choice)
    stored, tree = Store(tmp_path / "f.json"), xarray.open_datatree(tmp_path / "f.zarr")
    features = read_features(stored, 1)
    for order, layer in enumerate(features.layers):
        group = tree["{}x{}".format(*layer.grid)]
        found = group.q.sel(image=stored.ids[1], layer=layer.name)
        assert np.array_equal(found.values.astype(np.float32), layer.query[0].numpy())
        assert (found.order, found["sample"], found.scale) == (order, layer.sample, layer.scale)
        assert np.array_equal(np.stack([group.row, group.column]), np.indices(layer.grid).reshape(2, -1))
    assert {layer.sample for layer in features.layers} == {0, 1}


def test_instances_and_captions_are_kept(tmp_path):
    (paths,) = run(tmp_path, dataset(range(2))).values()
    coco = json.loads((tmp_path / "64x64-000.coco.json").read_text())
    assert [a["area"] for a in coco["annotations"]] == [int((picture(i)[1] == 1).sum()) for i in range(2)]
    assert Store(paths["images"]).read("captions").tolist() == [["picture 0"], ["picture 1"]]


def outlines(coco):
    """(image id, iscrowd, mask) of each annotation."""
    codes = [(a["image_id"], a["iscrowd"], a["segmentation"]) for a in coco["annotations"]]
    return [(number, crowd, run_lengths.decode(code).astype(bool)) for number, crowd, code in codes]


@pytest.mark.parametrize("protocol", ["none", "short_side", "square"])
def test_instances_are_stated_in_the_photographs_own_pixels(tmp_path, protocol):
    data = dataset(range(2), sizes=((64, 80),))
    store, coco = write_shard(tmp_path, data, view=View(protocol, 32, 16))
    assert store.coordinate("number") == [10, 11]
    assert (store.coordinate("height_px"), store.coordinate("width_px")) == ([64] * 2, [80] * 2)
    assert [(i["id"], i["file_name"], i["height"], i["width"]) for i in coco["images"]] == [
        (10, "image-0", 64, 80),
        (11, "image-1", 64, 80),
    ]
    for i, (number, crowd, mask) in enumerate(outlines(coco)):
        assert (number, crowd) == (10 + i, 0)
        np.testing.assert_array_equal(mask, picture(i, 64, 80)[1] == 1)
        rows, columns = np.nonzero(mask)
        corner, sides = (columns.min(), rows.min()), (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert coco["annotations"][i]["bbox"] == [*corner, *sides]
        assert coco["annotations"][i]["area"] == mask.sum()


def test_a_crop_states_instances_in_the_pixels_seen(tmp_path):
    left, middle = np.zeros((2, 64, 128), bool)
    left[:, :32], middle[16:32, 32:64] = True, True
    image = picture(0, 64, 128)[0]
    crowds = (Instance(0, left, crowd=True), Instance(0, middle, crowd=True))
    wide = Dataset("wide", (Record("a", image=lambda: image, instances=lambda: crowds),), ("thing",))
    store, coco = write_shard(tmp_path, wide, view=View("centre_crop", 32, 16))
    assert (store.coordinate("height_px"), store.coordinate("width_px")) == ([32], [32])
    assert [(i["height"], i["width"]) for i in coco["images"]] == [(32, 32)]
    ((number, crowd, mask),) = outlines(coco)  # the other is out of sight
    expected = np.zeros((32, 32), bool)
    expected[8:16, :16] = True
    assert (number, crowd) == (10, 1)
    np.testing.assert_array_equal(mask, expected)


def renamed(data, *names):
    return replace(data, records=tuple(replace(r, id=name) for r, name in zip(data.records, names, strict=True)))


@pytest.mark.parametrize(
    ("names", "numbers"),
    [
        (("000000000139", "7", "0"), [139, 7, 0]),
        (("000000000139", "7", "x7"), None),
        (("1", "01", "2"), None),
        (("1", "2", "3" * 19), None),
        (("1", "2", "\N{SUPERSCRIPT TWO}"), None),
    ],
)
def test_numbers_are_those_in_the_ids_or_follow_the_shards(tmp_path, names, numbers):
    data = renamed(dataset(range(3), sizes=((64, 64), (48, 64), (64, 64))), *names)
    write_index(data, tmp_path / "i.json", view=VIEW, shard_images=1, unreadable="stop", settings={})
    index = read_json(tmp_path / "i.json")
    assert list(index["shards"].values()) == [[names[1]], [names[0]], [names[2]]]
    assert [index["numbers"][name] for name in names] == (numbers or [2, 1, 3])


def saved_as(*values):
    """A data set whose every label map holds these values and no others, as a person's folder would be read."""
    labels = np.resize(np.array(values, np.int16), (64, 64))
    data = dataset(range(2))
    return replace(data, records=tuple(replace(record, labels=lambda: (labels,)) for record in data.records))


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ((0, IGNORE), r"nothing but 0 \(ground\) in all, and ignored pixels in 2 of them"),  # a mask of 0 and 255
        ((2,), r"nothing but 2 \(red\) in all;".replace("red", "green")),
        ((IGNORE,), "nothing but no label in all, and ignored pixels"),
    ],
)
def test_label_maps_of_one_class_are_no_result(tmp_path, values, got):
    with pytest.raises(
        InputError, match=f"data set planted: expected label maps of several of its 4 classes, got {got}"
    ):
        write_index(saved_as(*values), tmp_path / "i.json", view=VIEW, shard_images=9, unreadable="stop", settings={})
    assert not (tmp_path / "i.json").exists()


def test_a_mask_of_0_and_255_is_no_result_without_names_either(tmp_path):
    data = replace(saved_as(0, IGNORE), classes=())
    with pytest.raises(InputError, match=r"label maps of several segments, got nothing but 0 in all, and ignored"):
        write_index(data, tmp_path / "i.json", view=VIEW, shard_images=9, unreadable="stop", settings={})


def test_classes_that_occur_nowhere_are_named(tmp_path):
    data = replace(saved_as(0, 2, IGNORE), left_out={"files that are no images": 3})
    write_index(data, tmp_path / "i.json", view=VIEW, shard_images=9, unreadable="stop", settings={})
    index = read_json(tmp_path / "i.json")
    assert (index["absent"], index["left_out"]) == (["red", "yellow"], {"files that are no images": 3})


def test_numbers_go_through_all_stages_whatever_the_shards(tmp_path):
    """One data set has one image of each number, however it is cut."""
    data = dataset(range(4))
    for shard_images in (1, 3):
        made = run(tmp_path / str(shard_images), data, shard_images=shard_images, methods=())
        parts = [Store(paths["images"]).coordinate("number") for paths in made.values()]
        assert [n for part in parts for n in part] == [1, 2, 3, 4]
        files = sorted((tmp_path / str(shard_images)).glob("*.coco.json"))
        assert [image["id"] for file in files for image in read_json(file)["images"]] == [1, 2, 3, 4]


def test_images_that_do_not_divide_into_patches_are_refused(tmp_path):
    data = dataset(range(1), sizes=((64, 72),))
    write_shard(tmp_path, data, view=View("none", 1, 8))
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    settings = {"values": False, "batch_images": 1, "run_images": 1, "seed": 0, "settings": {}}
    with pytest.raises(InputError, match="multiples of its 16 px patches, got 64 × 72 px"):
        extract(Store(tmp_path / "i.json"), backbone, tmp_path / "f.json", **settings)
    assert not list(tmp_path.glob("f.*"))


def test_numbers_beyond_float16_are_refused(tmp_path, monkeypatch):
    write_shard(tmp_path, dataset(range(1)))
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    backbone.model.blocks[1].attn.qkv.weight.mul_(1e7)
    settings = {"values": False, "batch_images": 1, "run_images": 1, "seed": 0, "settings": {}}
    with pytest.raises(InputError, match=r"float16's range, got up to .* in array q, layer 1 of grid 4x4"):
        extract(Store(tmp_path / "i.json"), backbone, tmp_path / "f.json", **settings)
    assert not list(tmp_path.glob("f.*"))


@pytest.fixture
def extraction(tmp_path):
    """Extracts the features of three images, one run an image; answers the manifest."""
    backbone = load_backbone("tiny", model="vit_tiny_patch16_224", weights="random", options=TINY)
    write_shard(tmp_path, dataset(range(3)))

    def run_once(**changes):
        settings = {"values": False, "batch_images": 1, "run_images": 1, "seed": 0, "settings": {}, **changes}
        extract(Store(tmp_path / "i.json"), backbone, tmp_path / "features" / "f.json", **settings)
        return tmp_path / "features" / "f.json"

    return run_once


#: Of the fixture above: q, k and final of 16 tokens of 24 channels, two layers, three images, in half precision.
EXTRACTED_BYTES = 3 * 16 * 24 * (2 * 2 + 1) * 2


def with_free(monkeypatch, free):
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


def test_features_say_once_how_large_they_will_be(extraction, capfd, monkeypatch):
    with_free(monkeypatch, 5 * 10**9)
    store = Store(extraction())
    said = [line for line in capfd.readouterr().err.splitlines() if "GB" in line]
    assert said == [f"features of 3 images: {EXTRACTED_BYTES / 1e3:.1f} kB in {store.path.parent}, 5.0 GB free"]
    arrays = store.description["arrays"].values()
    assert sum(np.prod(a["shape"]) * np.dtype(a["dtype"]).itemsize for a in arrays) == EXTRACTED_BYTES


@pytest.mark.parametrize("missing", [0, 1])
def test_features_the_disk_has_no_room_for_are_refused(extraction, monkeypatch, tmp_path, missing):
    with_free(monkeypatch, EXTRACTED_BYTES - missing)
    if not missing:
        assert Store(extraction()).ids == [f"image-{i}" for i in range(3)]
        return
    with pytest.raises(InputError, match=r"of 3 images: expected .* kB free in .*, got .* kB; make room") as caught:
        extraction()
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "features").iterdir())


def test_room_is_asked_for_the_whole_data_set_before_its_first_shard(extraction, monkeypatch, tmp_path, capfd):
    (tmp_path / "index.json").write_text(
        json.dumps({"shards": {"a": ["0", "1", "2"], "b": [str(i) for i in range(9)]}})
    )
    with_free(monkeypatch, 4 * EXTRACTED_BYTES - 1)
    with pytest.raises(InputError, match=r"features of 12 images: expected"):
        extraction()
    with_free(monkeypatch, EXTRACTED_BYTES - 1)
    with pytest.raises(InputError, match=r"features of 3 images: expected"):
        extraction(kept=False)  # the others are gone by then, or not there yet
    for free, kept in ((EXTRACTED_BYTES, False), (4 * EXTRACTED_BYTES, True)):
        with_free(monkeypatch, free)
        extraction(kept=kept)
        assert "features of 12 images" in capfd.readouterr().err


def test_a_broken_label_map_counts_as_a_broken_image(tmp_path):
    save_pictures(tmp_path / "photos", broken=False)
    (tmp_path / "labels").mkdir()
    for i in range(3):
        Image.fromarray(picture(i)[1].astype(np.uint8)).save(tmp_path / "labels" / f"{i}.png")
    (tmp_path / "labels" / "2.png").write_bytes(b"")
    data = folder.load("mine", root=tmp_path / "photos", labels_root=tmp_path / "labels")
    settings = {"view": VIEW, "shard_images": 9, "settings": {}}
    write_index(data, tmp_path / "index.json", unreadable="skip", **settings)
    assert [s["id"] for s in read_json(tmp_path / "index.json")["skipped"]] == ["2"]


def save_pictures(root: Path, count=3, broken=True):
    root.mkdir()
    for i in range(count):
        Image.fromarray(picture(i)[0]).save(root / f"{i}.png")
    if broken:
        content = (root / "1.png").read_bytes()
        (root / "1.png").write_bytes(content[: len(content) // 2])


def test_a_broken_image_stops_or_is_skipped_and_listed(tmp_path):
    save_pictures(tmp_path / "photos")
    data = folder.load("mine", root=tmp_path / "photos")
    index = tmp_path / "index.json"
    settings = {"view": VIEW, "shard_images": 9, "settings": {}}
    with pytest.raises(InputError, match=r"1\.png.*unreadable: skip") as caught:
        write_index(data, index, unreadable="stop", **settings)
    assert "\n" not in str(caught.value)
    assert not index.exists()
    write_index(data, index, unreadable="skip", **settings)
    written = read_json(index)
    assert sum(map(len, written["shards"].values())) == 2
    assert len(written["skipped"]) == 1
    assert "1.png" in written["skipped"][0]["reason"]


def test_the_fingerprint_follows_the_files(tmp_path):
    save_pictures(tmp_path / "photos")
    values = {"root": str(tmp_path / "photos"), "labels_root": None}
    before = files_fingerprint(values)
    assert before == files_fingerprint(values)
    (tmp_path / "photos" / "0.png").unlink()
    assert files_fingerprint(values) != before
    assert files_fingerprint({"images": 3}) == ""


def test_data_sets_load_by_kind(tmp_path):
    save_pictures(tmp_path / "photos")
    assert len(load_dataset("mine", kind="folder", root=tmp_path / "photos").records) == 3
