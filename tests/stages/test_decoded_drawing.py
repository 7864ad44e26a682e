"""Figures of names and of objects: stores and COCO files with known content give known cells, in the right order."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.stages.test_drawing import (
    CLASSES,
    GRID,
    NUMBER,
    PHOTO_SHARDS,
    SQUARE_SHARDS,
    column,
    drawn,
    image_store,
    stores,
    write,
)
from tests.stages.test_naming import counts_file
from whatwhere.artifacts.errors import InputError
from whatwhere.datasets import IGNORE
from whatwhere.evaluate.instances import coco_results
from whatwhere.publish.figures import Blank, Photo
from whatwhere.publish.figures.cells import Instances, Labels, Named
from whatwhere.stages import drawing
from whatwhere.stages.drawing import draw_figure, draw_pictures

__all__ = ["drawn", "stores"]  # fixtures

NAMES = ("background", "car", "sky")
SIZE = (16, 24)
#: By how COCO's files number an image.
COCO_NUMBER = {name: 100 + number for name, number in NUMBER.items()}
RIGHT, HALF, WRONG = [[4, 0], [0, 4]], [[4, 0], [4, 0]], [[0, 4], [4, 0]]


# ------------------------------------------------------------------------------------------- helpers


def named_store(folder, ids, grid=GRID):
    """Image a has name 0 first, b name 1, c name 2; the others follow by rows of tokens."""
    rows = np.arange(np.prod(grid)) * 3 // np.prod(grid)
    named = np.stack([(rows + NUMBER[name] - 1) % 3 for name in ids]).astype(np.int16)
    return write(folder / f"{ids[0]}.json", ids, {"grid": grid, "names": list(NAMES)}, named=(("token",), named))


def numbered_store(folder, ids, size=SIZE):
    """Images with the numbers that COCO's files have for them."""
    pictures = np.stack([np.full((*size, 3), 40 * NUMBER[name], np.uint8) for name in ids])
    along = {"number": ("image", [COCO_NUMBER[name] for name in ids])}
    return write(folder / f"{ids[0]}.json", ids, {}, along, rgb=(("y", "x", "channel"), pictures))


def lines(count, size=SIZE):
    """So many masks: the first line of pixels, the first two ..."""
    return np.stack([np.arange(size[0])[:, None] * np.ones(size[1]) <= i for i in range(count)])


def results_file(path, found, scores=None):
    """COCO results of images by name: so many `lines` in each, with increasing scores."""
    entries = []
    for name, count in found.items():
        entries += coco_results(COCO_NUMBER[name], lines(count), np.arange(1, count + 1) / 10)
    path.write_text(json.dumps(entries))
    return str(path)


def truth_file(path, found, crowds=0):
    """A COCO data set: so many `lines` in each image, the last ones crowds."""
    annotations = []
    for name, count in found.items():
        for i, entry in enumerate(coco_results(COCO_NUMBER[name], lines(count), np.ones(count))):
            del entry["score"]
            annotations.append({**entry, "id": len(annotations) + 1, "iscrowd": int(i >= count - crowds)})
    path.write_text(json.dumps({"images": [], "annotations": annotations}))
    return str(path)


def objects_column(show, images, files, **options):
    return {"show": show, "stores": {"images": images, "masks": files}, **options}


def settings(*columns, **options):
    """A figure of the configuration as the workflow passes it on: what was left out is None."""
    nothing = dict.fromkeys(("backbone", "method", "clusters", "naming", "most"))
    full = [{**nothing, "heading": "h", "group": "", "first": 1, **column} for column in columns]
    known = {"kind": "pictures", "title": "t", "images": 3, "halves": {}, "seed": 0, "resamples": 5}
    return {**known, "columns": full, **options}


@pytest.fixture
def asked(monkeypatch):
    """What the figures of a test would put on their sheets: rows and words."""
    sheets = []
    monkeypatch.setattr(drawing, "draw_sheet", lambda rows, output, **words: sheets.append((rows, words)))
    return sheets


@pytest.fixture
def named(tmp_path):
    return [named_store(tmp_path / "named", ids) for ids in SQUARE_SHARDS]


@pytest.fixture
def numbered(tmp_path):
    return [numbered_store(tmp_path / "numbered", ids) for ids in PHOTO_SHARDS]


# --------------------------------------------------------------------------------------------- names


class TestNames:
    def test_regions_have_the_names_of_their_image(self, drawn, stores, named):
        columns = [column("image", stores["images"]), {"show": "named", "stores": {"named": named}}]
        rows, sheet = drawn(columns, 3)
        for row in rows:
            cell = row.cells[1]
            assert isinstance(cell, Named)
            assert (cell.labels.shape, cell.names, cell.note) == (GRID, NAMES, "")
            assert cell.labels[0, 0] == NUMBER[row.id] - 1
        assert sheet["headings"][1].text == "Names"

    def test_notes_say_how_right_they_are(self, stores, named, tmp_path, asked):
        files = [
            counts_file(tmp_path / "0.parquet", {"b": HALF, "a": RIGHT}),
            counts_file(tmp_path / "1.parquet", {}),  # c has no labels
        ]
        given = {"images0": stores["images"], "named1": named, "confusion1": files}
        draw_figure(tmp_path / "a.png", given, settings({"show": "image"}, {"show": "named", "naming": "things"}))
        notes = {row.id: row.cells[1].note for row in asked[0][0]}
        assert notes == {"a": "mIoU 1.00", "b": "mIoU 0.25", "c": ""}

    def test_a_truth_with_a_naming_has_its_names_and_the_rest_as_background(self, stores, tmp_path, asked):
        asks = {"show": "truth", "naming": "things", "asked": ["car", "sky"]}
        given = {"images0": stores["images"], "images1": stores["images"]}
        draw_figure(tmp_path / "a.png", given, settings(asks, {"show": "truth"}))
        cells = {row.id: row.cells for row in asked[0][0]}
        # a is sky all over, b is road, c is car
        for name, number in (("a", 2), ("b", 0), ("c", 1)):
            assert isinstance(cells[name][0], Named)
            assert (cells[name][0].labels == number).all()
            assert cells[name][0].names == NAMES
            assert isinstance(cells[name][1], Labels)

    def test_a_naming_of_all_classes_is_one_of_all(self, stores, tmp_path, asked):
        asks = {"show": "truth", "naming": "all", "asked": None}
        draw_figure(tmp_path / "a.png", {"images0": stores["images"]}, settings(asks))
        cell = asked[0][0][0].cells[0]
        assert cell.names == ("background", *CLASSES)
        assert (cell.labels == 1).all()  # sky

    def test_what_is_not_scored_stays_so_and_what_has_no_truth_is_blank(self, drawn, stores, tmp_path):
        labels = np.full((1, 1, *SIZE), IGNORE, np.int16)
        labels[..., :8, :] = 2
        arrays = {
            "rgb": (("y", "x", "channel"), np.zeros((1, *SIZE, 3), np.uint8)),
            "labels": (("annotator", "y", "x"), labels),
        }
        photos = write(tmp_path / "i.json", ["a"], {"classes": list(CLASSES)}, {"annotators": ("image", [1])}, **arrays)
        asks = {"naming": "things", "asked": ["car"]}
        bare = column("truth", stores["without labels"], **asks)
        rows, _ = drawn([column("truth", [photos], **asks), bare], 1)
        np.testing.assert_array_equal(rows[0].cells[0].labels, np.where(labels[0, 0] == 2, 1, IGNORE))
        assert rows[0].cells[1] == Blank("no ground truth")

    def test_classes_without_names_are_one_line(self, drawn, stores):
        with pytest.raises(InputError, match=r"expected classes of the data set .*got cow; ") as caught:
            drawn([column("truth", stores["images"], naming="things", asked=["cow"])])
        assert "\n" not in str(caught.value)


class TestWorst:
    def test_the_images_whose_names_agree_least_come_first(self, stores, tmp_path, asked):
        worst = [
            counts_file(tmp_path / "0.parquet", {"a": HALF, "b": RIGHT}),
            counts_file(tmp_path / "1.parquet", {"c": WRONG}),
        ]
        given = {"images0": stores["images"], "worst": worst}
        for images, expected in ((2, ["c", "a"]), (9, ["c", "a", "b"])):
            draw_figure(tmp_path / "a.png", given, settings({"show": "image"}, images=images))
            rows = asked[-1][0]
            assert [row.id for row in rows] == expected
            assert all((row.cells[0].image == 40 * NUMBER[row.id]).all() for row in rows)

    def test_images_without_labels_are_not_chosen(self, stores, tmp_path, asked):
        given = {"images0": stores["images"], "worst": [counts_file(tmp_path / "0.parquet", {"b": RIGHT})]}
        draw_figure(tmp_path / "a.png", given, settings({"show": "image"}))
        assert [row.id for row in asked[0][0]] == ["b"]

    def test_without_any_labels_the_first_are_shown_and_said_to_be(self, stores, tmp_path, asked):
        given = {"images0": stores["images"], "worst": [counts_file(tmp_path / "0.parquet", {})]}
        draw_figure(tmp_path / "a.png", given, settings({"show": "image"}, images=2))
        ((rows, words),) = asked
        assert [row.id for row in rows] == ["a", "b"]
        assert "No image has labels" in words["caption"]


# ------------------------------------------------------------------------------------------- objects


class TestObjects:
    def test_masks_are_found_by_the_numbers_of_the_images(self, drawn, stores, numbered, tmp_path):
        found = results_file(tmp_path / "r.json", {"a": 3, "c": 1})
        columns = [column("image", stores["images"]), objects_column("proposals", numbered, [found])]
        rows, sheet = drawn(columns, 3)
        notes = [(row.id, row.cells[1].note, len(row.cells[1].masks)) for row in rows]
        assert notes == [("a", "3 masks", 3), ("b", "0 masks", 0), ("c", "1 mask", 1)]
        assert all(isinstance(row.cells[1], Instances) for row in rows)
        np.testing.assert_array_equal(rows[0].cells[1].masks, lines(3)[::-1])  # the highest score first
        assert sheet["headings"][1].text == "Objects"

    def test_most_are_those_of_the_highest_scores(self, drawn, numbered, tmp_path):
        found = results_file(tmp_path / "r.json", {"a": 5})
        rows, _ = drawn([objects_column("proposals", numbered, [found], most=2)], 1)
        np.testing.assert_array_equal(rows[0].cells[0].masks, lines(5)[[4, 3]])
        assert rows[0].cells[0].note == "2 masks"

    def test_true_objects_are_of_all_shards_and_without_crowds(self, drawn, numbered, tmp_path):
        files = [truth_file(tmp_path / "0.json", {"a": 3}, crowds=1), truth_file(tmp_path / "1.json", {"c": 1})]
        rows, sheet = drawn([objects_column("objects", numbered, files)], 3)
        np.testing.assert_array_equal(rows[0].cells[0].masks, lines(2))
        assert [len(row.cells[0].masks) for row in rows] == [2, 0, 1]
        assert sheet["headings"][0].text == "True objects"

    def test_files_are_shared_out_by_the_configurations_columns(self, numbered, tmp_path, asked):
        files = {name: [results_file(tmp_path / f"{name}.json", {"a": n})] for n, name in enumerate("xyz", 1)}
        given = {"images0": numbered, "images1": numbered, "masks1": files["y"], "images2": numbered}
        given["masks2"] = files["z"]
        kinds = ({"show": "image"}, {"show": "proposals"}, {"show": "proposals", "most": 1})
        draw_figure(tmp_path / "a.png", given, settings(*kinds, images=1))
        photo, all_of_y, one_of_z = asked[0][0][0].cells
        assert isinstance(photo, Photo)
        np.testing.assert_array_equal(all_of_y.masks, lines(2)[::-1])
        np.testing.assert_array_equal(one_of_z.masks, lines(3)[2:])

    def test_an_image_that_is_not_there_is_one_line(self, drawn, stores, numbered, tmp_path):
        found = results_file(tmp_path / "r.json", {"a": 1})
        columns = [column("image", stores["images"]), objects_column("proposals", numbered[:1], [found])]
        with pytest.raises(InputError, match="expected image c in every column, got none in 1 stores"):
            drawn(columns, 3)


class TestPage:
    def test_all_of_it_is_drawn_and_the_same_to_the_byte(self, stores, named, numbered, tmp_path):
        found = results_file(tmp_path / "r.json", {"a": 2})
        columns = [
            column("image", stores["images"]),
            column("truth", stores["images"], naming="things", asked=["car", "sky"]),
            {"show": "named", "stores": {"named": named}, "notes": {"a": "mIoU 0.50"}},
            objects_column("proposals", numbered, [found]),
        ]
        for name in ("a.png", "b.png"):
            draw_pictures(columns, tmp_path / name, title="A title", images=2)
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
        with Image.open(tmp_path / "a.png") as page:
            assert page.size[0] > 4 * 100

    def test_rows_begin_with_the_first_column_even_where_it_has_no_photograph(self, drawn, stores, named):
        columns = [{"show": "named", "stores": {"named": named}}, column("image", stores["images"])]
        rows, _ = drawn(columns, 2)
        assert [row.id for row in rows] == list("ca")
        assert rows[0].photo.shape == (16, 24, 3)


def test_an_image_store_of_another_view_is_no_hindrance(drawn, numbered, tmp_path):
    """Masks are in the photograph's pixels, whatever the backbone of their column saw."""
    square = [image_store(tmp_path / "square", ids, (10, 10)) for ids in SQUARE_SHARDS]
    found = results_file(tmp_path / "r.json", {"a": 1})
    rows, _ = drawn([column("image", square), objects_column("proposals", numbered, [found])], 2)
    assert [row.id for row in rows] == ["c", "a"]
    np.testing.assert_array_equal(rows[1].cells[1].masks, lines(1))
