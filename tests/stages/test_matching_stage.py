"""What is counted of the clusters of a data set in its classes: planted segmentations."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tests.stages.test_segments import in_stores, names
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import Store, create
from whatwhere.datasets import IGNORE
from whatwhere.datasets.images import tokens_to_pixels
from whatwhere.evaluate.matching import COUNTS
from whatwhere.evaluate.spatial import left_right
from whatwhere.stages.matching import write_matching

GRID, PIXELS = (3, 4), (12, 16)
CLASSES = ("sky", "road", "car")


def image_stores(folder, labels, sizes=None, *, images=None, annotators=None, classes=CLASSES, ids=None):
    """Stores of images and labels `[image, annotator, y, x]`, of images alone where `labels` are None."""
    count = len(images if labels is None else labels)
    if images is None:
        images = np.zeros((count, *labels.shape[2:], 3), np.uint8)
    arrays = {"rgb": images} | ({} if labels is None else {"labels": labels.astype(np.int16)})
    if annotators is None:
        annotators = [0 if labels is None else 1] * count
    ids = ids or names(count)
    sizes, first, stores = sizes or (count,), 0, []
    dims = {"rgb": ("y", "x", "channel"), "labels": ("annotator", "y", "x")}
    for part in pairwise(np.cumsum([0, *sizes])):
        here = slice(*map(int, part))
        described = {"dataset": "planted", "classes": list(classes)}
        along = {"annotators": annotators[here], "image": ids[here]}
        mine = {name: array[here] for name, array in arrays.items()}
        into = folder / f"images-{'-'.join(map(str, sizes))}-{first}"
        stores += in_stores(into, (here.stop - here.start,), mine, dims, along, **described)
        first = here.stop
    return stores


def segment_store(path, clusters, *, grid=GRID, ids=None, **arrays):
    """A store of `regions` `[image, partition, token]`, or of refined `pixels` `[image, y, x]`."""
    ((name, array),) = arrays.items()
    described = {"dataset": "planted", "grid": grid, "graphs": ""}
    dims = {"regions": ("partition", "token"), "pixels": ("y", "x")}[name]
    along = {"image": ids or names(len(array)), "partition": clusters if name == "regions" else clusters[0]}
    with create(path, {}, described, along) as store:
        store.array(name, array.shape, "int16", ("image", *dims))[:] = array.astype(np.int16)
    return Store(path)


def random_regions(images=4, clusters=3, grid=GRID, seed=0):
    """A random partition of `clusters`, and one of twice as many."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, k, (images, grid[0] * grid[1])) for k in (clusters, 2 * clusters)], axis=1)


def random_labels(images=4, classes=3, pixels=PIXELS, seed=0):
    """Blocks of 4 × 4 pixels of one label, a few of them ignored."""
    coarse = np.random.default_rng(seed).integers(-1, classes, (images, 1, pixels[0] // 4, pixels[1] // 4))
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


def matched(images, segments, output, least_px=0, ambiguous=0.0):
    write_matching(images, segments, output, least_px=least_px, ambiguous=ambiguous)
    return pd.read_parquet(output)


def counted(found, truth, name, target, clusters, classes):
    """The rows of one image, pixel by pixel."""
    pairs = [(c, t) for c, t in zip(found.ravel(), truth.ravel(), strict=True) if t != IGNORE]
    rows = [[name, target, 0, classes, clusters, c, t, pairs.count((c, t))] for c, t in sorted(set(pairs))]
    return pd.DataFrame(rows, columns=COUNTS)


def in_order(table):
    return table.sort_values(COUNTS).reset_index(drop=True)


def assert_counts(found, frames):
    expected = in_order(pd.concat(frames))
    pd.testing.assert_frame_equal(in_order(found), expected, check_dtype=False)


class TestMatching:
    def test_counts_every_labelled_pixel_once(self, tmp_path):
        labels, regions = random_labels(), random_regions()
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)
        found = matched(image_stores(tmp_path, labels), segments, tmp_path / "m.parquet")
        frames = []
        for i, name in enumerate(names(4)):
            for target, partition, truth, most in (
                ("what", 0, labels[i, 0], 3),
                ("where", 1, left_right(labels[i, 0].astype(np.int16), 3, least_px=0, ambiguous=0.0), 6),
            ):
                pixels = tokens_to_pixels(regions[i, partition].reshape(GRID), *PIXELS)
                frames.append(counted(pixels, truth, name, target, most, most))
        assert_counts(found, frames)
        what = found[found.target == "what"]
        assert what.groupby("image").pixels.sum().to_dict() == {
            name: (labels[i] != IGNORE).sum() for i, name in enumerate(names(4))
        }

    def test_every_draw_of_clusters_is_counted(self, tmp_path):
        labels = random_labels()
        draws = [random_regions(seed=seed) for seed in (0, 1)]
        both = segment_store(tmp_path / "b.json", [3, 6] * 2, regions=np.concatenate(draws, axis=1))
        stores = image_stores(tmp_path, labels)
        found = matched(stores, both, tmp_path / "b.parquet")
        assert sorted(found.draw.unique()) == [0, 1]
        for draw, regions in enumerate(draws):
            alone = segment_store(tmp_path / f"{draw}.json", [3, 6], regions=regions)
            expected = matched(stores, alone, tmp_path / f"{draw}.parquet").assign(draw=draw)
            assert_counts(found[found.draw == draw], [expected])

    def test_images_without_labels_are_left_out(self, tmp_path):
        labels = random_labels()
        labels[2] = IGNORE  # labelled, and all of it ignored
        stores = image_stores(tmp_path, labels, (2, 2), annotators=[1, 0, 1, 1])
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert set(found.image) == {"image-0", "image-3"}
        assert set(found.target) == {"what", "where"}

    @pytest.mark.parametrize("classes", [CLASSES, ()])
    def test_nothing_to_count_is_an_empty_table(self, tmp_path, classes):
        labels = random_labels() if not classes else None  # labels without names; or none at all
        pictures = np.zeros((4, *PIXELS, 3), np.uint8)
        stores = image_stores(tmp_path, labels, images=pictures, classes=classes)
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert list(found.columns) == COUNTS
        assert found.empty

    def test_the_first_annotator_counts(self, tmp_path):
        labels, regions = random_labels(), random_regions()
        both = np.concatenate([labels, random_labels(seed=1)], axis=1)
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)
        one, two = (
            matched(image_stores(tmp_path / str(i), each, annotators=[1 + i] * 4), segments, tmp_path / f"{i}.parquet")
            for i, each in enumerate((labels, both))
        )
        pd.testing.assert_frame_equal(one, two)

    def test_where_splits_labels_as_it_is_told(self, tmp_path):
        """One class in three regions: at the left, small at the right, and near the middle."""
        labels = np.full((1, 1, 12, 20), IGNORE)
        labels[0, 0, :, :4], labels[0, 0, :2, 16:18], labels[0, 0, 6:, 10:14] = 1, 1, 1
        regions = np.zeros((1, 2, 12), int)
        regions[0, 1] = np.arange(12) % 4
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=regions)

        def where(**settings):
            found = matched(image_stores(tmp_path, labels), segments, tmp_path / "m.parquet", **settings)
            found = found[found.target == "where"]
            assert set(found.classes) == set(found.clusters) == {6}
            return found.groupby("label").pixels.sum().to_dict()

        assert where(least_px=4, ambiguous=0.05) == {1: 48, 1 + 3: 4 + 24}
        assert where(least_px=5, ambiguous=0.05) == {1: 48, 1 + 3: 24}
        assert where(least_px=5, ambiguous=0.2) == {1: 48}

    def test_refined_pixels_are_counted_as_they_are(self, tmp_path):
        labels = random_labels()
        pixels = np.random.default_rng(1).integers(0, 3, (4, *PIXELS))
        segments = segment_store(tmp_path / "s.json", [3, 6], pixels=pixels)
        stores = image_stores(tmp_path, labels, (1, 3))[::-1]
        found = matched(stores, segments, tmp_path / "m.parquet")
        assert_counts(found, [counted(pixels[i], labels[i, 0], name, "what", 3, 3) for i, name in enumerate(names(4))])

    def test_scores_have_no_where(self, tmp_path):
        segments = segment_store(tmp_path / "s.json", [5], regions=random_regions(clusters=5)[:, :1])
        found = matched(image_stores(tmp_path, random_labels()), segments, tmp_path / "m.parquet")
        assert set(found.target) == {"what"}
        assert (set(found.clusters), set(found.classes)) == ({5}, {3})

    @pytest.mark.parametrize("sizes", [(1, 3), (2, 1, 1)])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_division_and_order_of_the_stores_do_not_matter(self, tmp_path, sizes, backwards):
        labels = random_labels()
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        whole = matched(image_stores(tmp_path, labels), segments, tmp_path / "whole.parquet")
        stores = image_stores(tmp_path, labels, sizes)[:: -1 if backwards else 1]
        pd.testing.assert_frame_equal(matched(stores, segments, tmp_path / "parts.parquet"), whole)

    def test_an_image_that_is_not_there_is_one_line(self, tmp_path):
        stores = image_stores(tmp_path, random_labels(3))
        segments = segment_store(tmp_path / "s.json", [3, 6], regions=random_regions())
        with pytest.raises(InputError, match=r"s\.zarr: expected the images of .*, got image-3, which") as caught:
            matched(stores, segments, tmp_path / "m.parquet")
        assert "\n" not in str(caught.value)
        assert not list(tmp_path.glob("*m.parquet*"))
