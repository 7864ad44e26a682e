"""Stores with known content give sheets with known pixels; counts with known scores give known curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.store import create
from whatwhere.evaluate.oracle import COUNTS, bootstrap_interval, mean_iou
from whatwhere.evaluate.spatial import left_right
from whatwhere.publish.figures import Blank, Eigenvectors, Halves, Labels, Photo, Regions, caption_of
from whatwhere.stages import drawing
from whatwhere.stages.drawing import draw_pictures, draw_score_curves, score_curves

CLASSES = ("sky", "road", "car")
GRID, SQUARE = (4, 6), (5, 5)
#: Two views of one data set, sharded differently.
PHOTO_SHARDS = (("a", "b"), ("c",))
SQUARE_SHARDS = (("c", "a"), ("b",))
NUMBER = {"a": 1, "b": 2, "c": 3}


def write(manifest, ids, attributes, along=None, **arrays):
    """A store whose arrays have these axes and values: `name=(dims, array)`, and what lies along the axes."""
    with create(manifest, {}, attributes, {"image": list(ids), **(along or {})}) as store:
        for name, (dims, array) in arrays.items():
            store.array(name, array.shape, str(array.dtype), ("image", *dims))[:] = array
    return str(manifest)


def image_store(folder, ids, size, annotators=1):
    pictures = np.stack([np.full((*size, 3), 40 * NUMBER[name], np.uint8) for name in ids])
    labels = np.stack([np.full((1, *size), NUMBER[name] - 1, np.int16) for name in ids])
    along = {"annotators": ("image", [annotators] * len(ids))}
    arrays = {"rgb": (("y", "x", "channel"), pictures), "labels": (("annotator", "y", "x"), labels)}
    return write(folder / f"{ids[0]}.json", ids, {"classes": list(CLASSES)}, along, **arrays)


def vector_store(folder, ids, grid, count=5):
    values = np.arange(np.prod(grid) * count, dtype=np.float32).reshape(-1, count)
    arrays = {"vectors": (("token", "vector"), np.stack([NUMBER[name] * values for name in ids]))}
    return write(folder / f"{ids[0]}.json", ids, {"grid": grid}, **arrays)


def region_store(folder, ids, grid):
    """Partitions of 2, 3 and 5 regions by rows of tokens; image a has chosen 3 of them, b 5, c 2."""
    tokens = np.arange(np.prod(grid))
    partitions = np.stack([tokens * k // len(tokens) for k in (2, 3, 5)]).astype(np.int16)
    along = {"partition": [2, 3, 5], "chosen": ("image", [{"a": 3, "b": 5, "c": 2}[name] for name in ids])}
    arrays = {"regions": (("partition", "token"), np.stack([partitions] * len(ids)))}
    return write(folder / f"{ids[0]}.json", ids, {"grid": grid}, along, **arrays)


@pytest.fixture
def stores(tmp_path):
    photos = [image_store(tmp_path / "photo", ids, (16, 24)) for ids in PHOTO_SHARDS]
    return {
        "images": photos,
        "vectors": [vector_store(tmp_path / "wide", ids, GRID) for ids in PHOTO_SHARDS],
        "regions": [region_store(tmp_path / "labels", ids, GRID) for ids in PHOTO_SHARDS],
        "square vectors": [vector_store(tmp_path / "square", ids, SQUARE) for ids in SQUARE_SHARDS],
        "square regions": [region_store(tmp_path / "other", ids, SQUARE) for ids in SQUARE_SHARDS],
        "without labels": [image_store(tmp_path / "bare", ids, (10, 10), 0) for ids in SQUARE_SHARDS],
    }


def column(show, manifests, **options):
    kind = {"image": "images", "truth": "images", "halves": "images", "eigenvectors": "vectors", "regions": "regions"}[
        show
    ]
    return {"show": show, "stores": {kind: manifests}, **options}


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Asks for a sheet and answers the rows and headings that it would have."""
    sheets = []
    monkeypatch.setattr(drawing, "draw_sheet", lambda rows, output, **options: sheets.append((rows, options)))

    def ask(columns, images=2):
        draw_pictures(columns, tmp_path / "a.png", title="t", images=images)
        return sheets[-1]

    return ask


class TestPictures:
    def test_rows_are_the_first_images_of_the_first_columns_shards(self, drawn, stores):
        photos = column("image", stores["images"])
        for images, expected in ((1, ["a"]), (3, ["a", "b", "c"]), (9, ["a", "b", "c"])):
            assert [row.id for row in drawn([photos], images)[0]] == expected
        squares = column("eigenvectors", stores["square vectors"])
        assert [row.id for row in drawn([squares, photos], 2)[0]] == ["c", "a"]

    def test_shards_beyond_the_images_asked_for_are_not_opened(self, drawn, stores):
        (rows, _) = drawn([column("image", [*stores["images"], "nowhere.json"])], 3)
        assert len(rows) == 3

    def test_every_column_is_looked_up_by_id(self, drawn, stores):
        columns = [
            column("image", stores["images"]),
            column("eigenvectors", stores["square vectors"], first=4),
            column("regions", stores["square regions"]),
            column("truth", stores["images"]),
        ]
        rows, _ = drawn(columns, 3)
        for row in rows:
            photo, vectors, regions, truth = row.cells
            number = NUMBER[row.id]
            assert [type(cell) for cell in row.cells] == [Photo, Eigenvectors, Regions, Labels]
            assert (row.photo == 40 * number).all()
            assert (photo.image == 40 * number).all()
            assert (vectors.vectors.shape, vectors.first) == ((*SQUARE, 5), 3)
            assert vectors.vectors[1, 0, 0] == number * SQUARE[1] * 5  # the first token of the second row
            assert regions.regions.shape == SQUARE
            assert (truth.labels == number - 1).all()
            assert truth.classes == CLASSES
        assert [row.cells[2].note for row in rows] == ["K = 3", "K = 5", "K = 2"]

    def test_eigenvectors_of_a_joint_solve_share_one_scale_and_others_have_their_own(self, drawn, stores, tmp_path):
        limits, vectors = [[0.0, 1.0], [-2.0, 2.0]], np.zeros((2, 24, 2), np.float32)
        arrays = {"vectors": (("token", "vector"), vectors)}
        joint = write(tmp_path / "joint.json", ["a", "b"], {"grid": GRID, "limits": limits}, **arrays)
        columns = [column("image", stores["images"]), column("eigenvectors", [joint])]
        rows, _ = drawn([*columns, column("eigenvectors", stores["vectors"])])
        for row in rows:
            np.testing.assert_array_equal(row.cells[1].limits, limits)
            assert row.cells[2].limits is None

    def test_halves_are_the_labels_split_as_the_evaluation_splits_them(self, drawn, tmp_path):
        labels = np.zeros((1, 1, 16, 24), np.int16)
        labels[..., 8:, :6], labels[..., 8:, -6:], labels[..., 2:4, 2:4] = 1, 1, 2
        arrays = {
            "rgb": (("y", "x", "channel"), np.zeros((1, 16, 24, 3), np.uint8)),
            "labels": (("annotator", "y", "x"), labels),
        }
        along = {"annotators": ("image", [1])}
        photos = write(tmp_path / "a.json", ["a"], {"classes": list(CLASSES)}, along, **arrays)
        for limits in ({"least_px": 1, "ambiguous": 0.1}, {"least_px": 5, "ambiguous": 0.4}):
            rows, sheet = drawn([column("halves", [photos], halves=limits)], 1)
            (cell,) = rows[0].cells
            assert isinstance(cell, Halves)
            np.testing.assert_array_equal(cell.labels, left_right(labels[0, 0], 3, **limits))
            assert cell.classes == CLASSES
            assert sheet["headings"][0].text == "Left and right"

    def test_a_column_may_name_its_k(self, drawn, stores):
        columns = [column("image", stores["images"])]
        rows, _ = drawn([*columns, column("regions", stores["regions"], clusters=5)], 3)
        assert [row.cells[1].note for row in rows] == ["K = 5"] * 3
        with pytest.raises(InputError, match=r"a\.json: expected regions with K = 4, got K = 2, 3, 5; "):
            drawn([*columns, column("regions", stores["regions"], clusters=4)])

    def test_k_is_the_number_of_regions_that_there_are(self, drawn, stores, tmp_path):
        # three masks were allowed, one was found
        labels = np.array([[0, 0, 1, 1]], np.int16)[None]
        along = {"partition": [4], "chosen": ("image", [4])}
        masks = write(tmp_path / "masks.json", ["a"], {"grid": (2, 2)}, along, regions=(("partition", "token"), labels))
        rows, _ = drawn([column("image", stores["images"]), column("regions", [masks])], 1)
        assert rows[0].cells[1].note == "K = 2"

    def test_headings_are_the_columns_own_or_say_what_is_shown(self, drawn, stores):
        columns = [
            column("image", stores["images"]),
            column("eigenvectors", stores["vectors"], group="dino"),
            column("eigenvectors", stores["vectors"], first=4, group="dino", heading="four to six"),
            column("regions", stores["regions"]),
            column("truth", stores["images"], heading=""),
        ]
        headings = [(heading.text, heading.group) for heading in drawn(columns)[1]["headings"]]
        assert headings == [
            ("Image", ""),
            ("Eigenvectors 1–3", "dino"),
            ("four to six", "dino"),
            ("Regions", ""),
            ("Ground truth", ""),
        ]

    def test_what_there_is_not_is_blank_and_says_so(self, drawn, stores):
        columns = [
            column("image", stores["images"]),
            column("truth", stores["without labels"]),
            column("halves", stores["without labels"], halves={}),
            column("eigenvectors", stores["vectors"], first=7),
        ]
        rows, _ = drawn(columns, 1)
        assert rows[0].cells[1:] == (Blank("no ground truth"), Blank("no ground truth"), Blank("only 5 vectors"))

    def test_rows_have_the_photograph_of_the_first_column_with_images(self, drawn, stores):
        columns = [column("eigenvectors", stores["square vectors"]), column("image", stores["images"])]
        assert drawn([*columns, column("image", stores["without labels"])])[0][0].photo.shape == (16, 24, 3)
        with pytest.raises(InputError, match="expected a column with images, got none; "):
            drawn(columns[:1])

    def test_a_missing_image_is_one_clear_line(self, drawn, stores):
        columns = [column("image", stores["images"]), column("regions", stores["square regions"][:1])]
        with pytest.raises(InputError, match=r"expected image b in every column, got none in 1 stores from .*c\.json"):
            drawn(columns)

    def test_the_page_shows_all_of_it_in_the_photographs_shape(self, stores, tmp_path):
        columns = [
            column("image", stores["images"]),
            column("eigenvectors", stores["square vectors"], group="square"),
            column("regions", stores["square regions"], group="square"),
            column("truth", stores["images"]),
        ]
        for name in ("a.png", "b.png"):
            draw_pictures(columns, tmp_path / name, title="A title", images=3, caption="Words.")
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        assert caption_of(tmp_path / "a.png") == "Words."
        with Image.open(tmp_path / "a.png") as page:
            pixels = np.asarray(page)
        photos = pixels[:, 12 + 26 : 12 + 26 + 264]
        for number in NUMBER.values():
            assert (photos == 40 * number).all((1, 2)).sum() == 176

    def test_the_caption_says_what_is_not_shown(self, stores, tmp_path):
        said = {"show": "image", "heading": "h"}
        settings = {"kind": "pictures", "title": "t", "images": 2, "columns": [said], "halves": {}}
        drawing.draw_figure(tmp_path / "a.png", {"images0": stores["images"]}, settings)
        assert caption_of(tmp_path / "a.png") == f"2 of {len(NUMBER)} images."
        known = {"crop": "photo", "scenes_only": ["zoo/dino", "zoo/mae"], "images": len(NUMBER)}
        drawing.draw_figure(tmp_path / "b.png", {"images0": stores["images"]}, settings | known)
        assert caption_of(tmp_path / "b.png") == (
            "Of each image the square in its middle, as view photo cuts it. "
            "Made for rendered scenes, not for photographs: zoo/dino, zoo/mae."
        )

    def test_a_figure_of_the_configuration_tells_halves_what_is_too_small(self, stores, tmp_path, monkeypatch):
        asked = []
        monkeypatch.setattr(drawing, "draw_pictures", lambda columns, output, **options: asked.append(columns))
        said = {"show": "halves", "heading": "h", "clusters": None}
        settings = {"kind": "pictures", "title": "t", "images": 1, "columns": [said], "halves": {"least_px": 3}}
        drawing.draw_figure(tmp_path / "a.png", {"images0": stores["images"]}, settings)
        expected = {"show": "halves", "heading": "h", "stores": {"images": stores["images"]}, "halves": {"least_px": 3}}
        assert asked == [[expected]]

    def test_an_unfinished_figure_leaves_nothing(self, stores, tmp_path):
        columns = [column("image", stores["images"]), column("regions", stores["regions"], clusters=4)]
        with pytest.raises(InputError):
            draw_pictures(columns, tmp_path / "sub" / "a.png", title="t", images=1)
        assert not (tmp_path / "sub").exists()


def counts(images=6, candidates=(2, 4, 8), chosen=4, named=True, seed=0):
    """Made-up counts of three labels an image for every K; higher K overlap more."""
    rng = np.random.default_rng(seed)
    rows = []
    for image in range(images):
        for k in candidates:
            for label in range(3):
                actual = int(rng.integers(50, 150))
                row = (f"i{image}", 0, label, actual * k // 10, actual, actual)
                rows.append(
                    dict(zip(COUNTS, row, strict=True)) | {"clusters": k, "chosen": k == chosen, "named": named}
                )
    return pd.DataFrame(rows)


def save(folder, table, shards=1):
    """The images of the table in so many Parquet files."""
    folder.mkdir(parents=True, exist_ok=True)
    names = np.array_split(table.image.unique(), shards)
    paths = [folder / f"{i}.parquet" for i in range(shards)]
    for path, ids in zip(paths, names, strict=True):
        table[table.image.isin(ids)].to_parquet(path, index=False)
    return [str(path) for path in paths]


def one_curve(paths, **options):
    options = {"seed": 0, "resamples": 50} | options
    return score_curves({"dino": {"ours": paths}}, **options)["dino"]["ours"]


class TestScoreCurves:
    @pytest.mark.parametrize("named", [True, False])
    def test_a_curve_is_the_score_of_every_k_with_its_interval(self, tmp_path, named):
        table = counts(named=named)
        found = one_curve(save(tmp_path, table))
        np.testing.assert_array_equal(found.x, [2, 4, 8])
        for i, k in enumerate(found.x):
            part = table[table.clusters == k]
            assert found.y[i] == mean_iou(part, shared_classes=named)
            rng = np.random.default_rng(drawing.seed_for(0, "bootstrap", "dino", "ours"))
            ends = bootstrap_interval(part, shared_classes=named, resamples=50, rng=rng)
            assert (found.low[i], found.high[i]) == ends

    def test_shards_do_not_matter(self, tmp_path):
        table = counts()
        one, three = (one_curve(save(tmp_path / str(n), table, n)) for n in (1, 3))
        for name in ("x", "y", "low", "high"):
            np.testing.assert_array_equal(getattr(one, name), getattr(three, name))

    def test_one_k_for_all_is_a_level_score_at_that_k(self, tmp_path):
        table = counts(candidates=(4,))
        found = one_curve(save(tmp_path, table))
        assert found.level
        assert (found.x[0], found.y[0]) == (4, mean_iou(table, shared_classes=True))

    def test_each_images_own_k_is_a_level_score_at_the_mean(self, tmp_path):
        several = counts(images=2)
        own = several[several.clusters == several.image.map({"i0": 2, "i1": 8})].assign(chosen=True)
        found = one_curve(save(tmp_path, own))
        assert found.level
        assert (found.x[0], found.y[0]) == (5, mean_iou(own, shared_classes=True))

    def test_shards_without_labels_are_passed_over_and_nothing_else_is_refused(self, tmp_path):
        table = counts()
        empty = save(tmp_path / "empty", table[:0].astype(object))
        full = save(tmp_path / "full", table)
        np.testing.assert_array_equal(one_curve([*empty, *full]).y, one_curve(full).y)
        with pytest.raises(InputError, match=r"expected counts, got none; the data set needs labels"):
            one_curve(empty)

    def test_scores_of_before_partitions_are_one_clear_line(self, tmp_path):
        paths = save(tmp_path, counts().drop(columns="chosen"))
        with pytest.raises(InputError, match=r"0\.parquet: expected counts of every partition, .*\['chosen'\]; score"):
            one_curve(paths)

    def test_seed_and_resamples_are_the_callers(self, tmp_path):
        paths = save(tmp_path, counts())
        first, again, other = (one_curve(paths, seed=seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.low, again.low)
        assert (first.low != other.low).any()

    def test_the_figure_has_a_plot_for_each_panel_and_says_what_bands_and_marks_are(self, tmp_path, monkeypatch):
        several, own = save(tmp_path / "several", counts()), save(tmp_path / "own", counts(candidates=(4,)))
        asked = []
        monkeypatch.setattr(drawing, "draw_curves", lambda *given, **options: asked.append((*given, options)))
        for methods in ({"ours": several, "masks": own}, {"ours": several}):
            panels = {"dino": methods, "mae": {"ours": several}}
            draw_score_curves(panels, tmp_path / "a.png", title="t", seed=0, resamples=50)
        assert [list(curves) for curves, *_ in asked] == [["dino", "mae"]] * 2
        captions = [options["caption"] for *_, options in asked]
        assert all(caption.startswith("Bands: 95 % intervals") and "50 resamples" in caption for caption in captions)
        assert ["Dashed" in caption for caption in captions] == [True, False]

    def test_the_same_scores_give_the_same_bytes(self, tmp_path):
        panels = {
            "dino": {
                "ours": save(tmp_path / "several", counts()),
                "masks": save(tmp_path / "own", counts(candidates=(4,))),
            }
        }
        for name in ("a.png", "b.png"):
            draw_score_curves(panels, tmp_path / name, title="t", seed=0, resamples=50)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
