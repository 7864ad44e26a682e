"""Tables of names and of objects: planted counts and matches give known cells."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.evaluate.test_instances import made_up, pycocotools_says, rectangle, truth_of
from tests.stages.test_naming import counts_file, random_counts
from tests.stages.test_proposal_stage import detected
from tests.stages.test_tables import ROW, read
from whatwhere.config.claims import QUANTITIES, quantities
from whatwhere.config.fitting import FITTING
from whatwhere.evaluate import instances
from whatwhere.evaluate.instances import coco_results
from whatwhere.evaluate.matching import accuracy, bootstrap_interval, mean_iou
from whatwhere.evaluate.resampling import generator
from whatwhere.evaluate.zeroshot import TEMPLATES
from whatwhere.stages.decoded_tables import write_instance_table, write_zeroshot_table
from whatwhere.stages.table_kinds import WRITERS

#: Given names by true ones of two images, the background first.
FIRST = [[6, 0, 0], [2, 4, 0], [0, 0, 0]]
SECOND = [[5, 1, 0], [0, 2, 3], [0, 0, 1]]
TABLE = {"title": "Table 7", "source": "paper, Table 7", "datasets": ["scenes"], "columns": ["Method", "Model"]}
OURS = {**ROW, "labels": ["ours", "b"], "backbone": "b", "method": "exact", "naming": "things"}
TOKENS = {**OURS, "labels": ["tokens", "b"], "method": "tokens"}
THEIRS = {**ROW, "labels": ["GroupViT", ""], "naming": None, "paper": 0.53, "reason": "needs weights"}
OBJECTS = {**ROW, "labels": ["ours", "b"], "backbone": "b", "method": "exact"}
MEASURES = ("#Masks", "AP50 box", "AP box", "AR100 box", "AP50 mask", "AP mask", "AR100 mask")


# ------------------------------------------------------------------------------------------- helpers


def confusion_file(root, images, run="scenes/b/exact/things", shard=0):
    return counts_file(root / run / f"{shard}.parquet", images)


def zeroshot_table(folder, files, rows, resamples=40, seed=0, **changes):
    out = folder / "table7.csv"
    table = {**TABLE, "rows": rows, **changes}
    write_zeroshot_table(out, {"confusion": files}, table=table, seed=seed, resamples=resamples)
    return read(out)


def match_file(root, truth, results, run="scenes/b/exact"):
    path = root / f"{run}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    detected(root / "made", truth, results, 1)[1].to_parquet(path, index=False)
    return str(path)


def instance_table(folder, files, rows, resamples=10, seed=0, **changes):
    out = folder / "table8.csv"
    table = {**TABLE, "title": "Table 8", "rows": rows, **changes}
    write_instance_table(out, {"matches": files}, table=table, seed=seed, resamples=resamples)
    return read(out)


def meta(folder, name):
    return json.loads((folder / f"{name}.meta.json").read_text())


# ------------------------------------------------------------------------------------------- Table 7


class TestZeroShot:
    def test_cells_are_the_scores_of_the_summed_counts(self, tmp_path):
        (row,) = zeroshot_table(tmp_path, [confusion_file(tmp_path, {"a": FIRST, "b": SECOND})], [OURS])
        # summed: [[11, 1, 0], [2, 6, 3], [0, 0, 1]], a name is given to rows and true in columns
        total = np.array(FIRST) + SECOND
        assert row["mIoU (ours)"] == f"{(11 / 14 + 6 / 12 + 1 / 4) / 3:.3f}" == f"{mean_iou(total, np.arange(3)):.3f}"
        assert row["Pixel accuracy"] == f"{18 / 24:.3f}"
        assert row["Images"] == "2"
        rng = generator(0, ["b", "a"])
        ends = bootstrap_interval(np.array([FIRST, SECOND]), np.arange(3), resamples=40, rng=rng)
        assert row["95 % interval"] == "–".join(f"{end:.3f}" for end in ends)

    def test_names_alone_are_scored_without_the_background(self, tmp_path):
        # summed and doubled as in the first test: the second name has 6 of 12, the third 1 of 4
        images = {"a": FIRST, "b": SECOND, "c": np.add(FIRST, SECOND)}
        (row,) = zeroshot_table(tmp_path, [confusion_file(tmp_path, images)], [OURS])
        assert row["Names only (ours)"].startswith(f"{(6 / 12 + 1 / 4) / 2:.3f} (")
        heads = list(row)
        assert heads[heads.index("95 % interval") + 1] == "Names only (ours)"

    def test_both_intervals_are_of_the_same_images_drawn_again(self, tmp_path):
        images = {f"{i}": np.random.default_rng(i).integers(0, 50, (3, 3)) for i in range(12)}
        (row,) = zeroshot_table(tmp_path, [confusion_file(tmp_path, images)], [OURS])
        counts, same = np.array([images[name] for name in sorted(images)]), np.arange(3)
        whole = bootstrap_interval(counts, same, resamples=40, rng=generator(0, images))
        low, high = bootstrap_interval(counts, same, resamples=40, rng=generator(0, images), first=1)
        value = mean_iou(counts.sum(0), same, first=1)
        assert row["95 % interval"] == "–".join(f"{end:.3f}" for end in whole)
        assert row["Names only (ours)"] == f"{value:.3f} ({low:.3f}–{high:.3f})"
        (found,) = meta(tmp_path, "table7")["rows"]
        assert found["numbers"]["mIoU of names"] == pytest.approx([value, low, high], abs=1e-15)

    def test_the_background_alone_cannot_decide_the_names(self, tmp_path):
        """One that says nothing but background beats one that finds some of the names."""
        silent, tries = [[90, 5, 5], [0, 0, 0], [0, 0, 0]], [[10, 4, 4], [40, 1, 0], [40, 0, 1]]
        files = [
            confusion_file(tmp_path, {"a": silent}),
            confusion_file(tmp_path, {"a": tries}, "scenes/b/tokens/things"),
        ]
        nothing, some = zeroshot_table(tmp_path, files, [OURS, TOKENS])
        assert nothing["mIoU (ours)"] > some["mIoU (ours)"]
        assert nothing["Names only (ours)"] == "0.000 (0.000–0.000)" < some["Names only (ours)"]

    @pytest.mark.filterwarnings("error")
    def test_without_a_name_true_or_given_there_is_no_score_of_names(self, tmp_path):
        files = [confusion_file(tmp_path, {"a": FIRST})]
        files += [confusion_file(tmp_path, {"a": np.diag([9, 0, 0])}, "photos/b/exact/things")]
        rows = [OURS, {**OURS, "datasets": ["photos"]}]
        both, one = zeroshot_table(tmp_path, files, rows, datasets=["scenes", "photos"])
        assert both["Names only (ours, scenes)"].startswith(f"{4 / 6:.3f} (")
        assert "Names only (ours, photos)" not in both  # empty in every row
        assert (one["mIoU (ours, photos)"], one["Names only (ours, scenes)"]) == ("1.000", "")
        assert set(meta(tmp_path, "table7")["rows"][1]["numbers"]) == {"mIoU", "accuracy"}

    def test_programs_find_the_numbers_in_full(self, tmp_path):
        zeroshot_table(tmp_path, [confusion_file(tmp_path, {"a": FIRST, "b": SECOND})], [THEIRS, OURS])
        (found,) = meta(tmp_path, "table7")["rows"]
        total, same = np.array(FIRST) + SECOND, np.arange(3)
        assert (found["method"], found["naming"], found["dataset"]) == ("exact", "things", "scenes")
        assert found["numbers"]["mIoU"][0] == mean_iou(total, same)
        assert found["numbers"]["accuracy"][0] == accuracy(total, same)

    def test_shards_and_their_order_do_not_matter(self, tmp_path):
        images = random_counts()
        whole = confusion_file(tmp_path / "whole", images)
        parts = [confusion_file(tmp_path / "parts", {name: images[name]}, shard=i) for i, name in enumerate(images)]
        parts.append(confusion_file(tmp_path / "parts", {}, shard=9))  # without labels
        expected = zeroshot_table(tmp_path, [whole], [OURS])
        assert zeroshot_table(tmp_path, parts[::-1], [OURS]) == expected
        assert zeroshot_table(tmp_path, [whole], [OURS], seed=1) != expected

    def test_each_run_and_each_naming_has_its_own(self, tmp_path):
        files = [
            confusion_file(tmp_path, {"a": FIRST}),
            confusion_file(tmp_path, {"a": SECOND}, "scenes/b/tokens/things"),
            confusion_file(tmp_path, {"a": np.eye(3, dtype=int)}, "scenes/b/exact/all"),
        ]
        rows = [OURS, TOKENS, {**OURS, "naming": "all"}]
        found = zeroshot_table(tmp_path, files, rows)
        # in the first image the third name is neither true nor given
        expected = [f"{number:.3f}" for number in ((6 / 8 + 4 / 6) / 2, (5 / 6 + 2 / 6 + 1 / 4) / 3, 1)]
        assert [row["mIoU (ours)"] for row in found] == expected

    def test_the_papers_number_and_the_difference_stand_beside_it(self, tmp_path):
        right = confusion_file(tmp_path, {"a": np.eye(3, dtype=int)})
        theirs, ours = zeroshot_table(tmp_path, [right], [THEIRS, {**OURS, "paper": 0.5, "of": "CLIP"}])
        assert (theirs["mIoU (paper)"], theirs["mIoU (ours)"], theirs["Note"]) == ("0.53", "", "needs weights")
        assert (ours["mIoU (paper)"], ours["mIoU (ours − paper)"]) == ("0.50", "+0.50")
        assert ours["Paper's model"] == "CLIP"

    def test_data_sets_have_columns_of_their_own_and_one_without_labels_says_so(self, tmp_path):
        files = [confusion_file(tmp_path, {"a": FIRST}), confusion_file(tmp_path, {}, "photos/b/exact/things")]
        (row,) = zeroshot_table(tmp_path, files, [OURS], datasets=["scenes", "photos"])
        assert row["mIoU (ours, scenes)"] == f"{(6 / 8 + 4 / 6) / 2:.3f}"
        assert "mIoU (ours, photos)" not in row  # a column that would be empty
        assert row["Note"] == "photos has no labels with names"
        (row,) = zeroshot_table(tmp_path, files[:1], [{**OURS, "datasets": ["scenes"]}], datasets=["scenes", "photos"])
        assert "Note" not in row

    def test_notes_say_what_is_in_the_mean(self, tmp_path):
        zeroshot_table(tmp_path, [confusion_file(tmp_path, {"a": FIRST})], [OURS])
        notes = " ".join(meta(tmp_path, "table7")["notes"])
        assert "The mean is over the names asked about and the background." in notes
        assert "Names only: the mean without the background" in notes
        assert "40 resamples" in notes

    def test_notes_say_how_each_naming_decides(self, tmp_path):
        file = confusion_file(tmp_path, {"a": FIRST})
        known = {"templates": None, "measure": "cosine", "threshold": 0.25, "most": None}
        table = {**TABLE, "rows": [THEIRS, OURS, OURS]}
        asked = {"things": known, "unused": {**known, "measure": "probability"}}
        out = tmp_path / "table7.csv"
        write_zeroshot_table(out, {"confusion": [file]}, table=table, seed=0, resamples=5, namings=asked)
        notes = [note for note in meta(tmp_path, "table7")["notes"] if note.startswith("Naming")]
        assert len(notes) == 1
        assert "Naming things: " in notes[0]
        assert "where the cosine is above 0.25, and is background elsewhere" in notes[0]
        assert f"{len(TEMPLATES)} prompts a class" in notes[0]


# ------------------------------------------------------------------------------------------- Table 8


class TestInstances:
    def test_cells_are_the_protocols_numbers_with_intervals(self, tmp_path):
        truth, results = made_up(2)
        (row,) = instance_table(tmp_path, [match_file(tmp_path, truth, results)], [OBJECTS])
        for name, kind in (("box", "bbox"), ("mask", "segm")):
            for measure, number in pycocotools_says(truth, results, kind).items():
                value, _, interval = row[f"{measure} {name} (ours)"].partition(" ")
                assert value == f"{number:.1f}"
                low, high = map(float, interval.strip("()").split("–"))
                assert low <= high
        assert row["#Masks (ours)"].startswith(f"{len(results) / len(truth['images']):.1f} (")

    def test_intervals_follow_the_seed_and_the_images(self, tmp_path):
        file = match_file(tmp_path, *made_up(2))
        (row,) = instance_table(tmp_path, [file], [OBJECTS])
        matches = pd.read_parquet(file)
        rng = generator(0, matches.image)
        boxes = matches[matches.kind == "bbox"].drop(columns="kind")
        low, high = instances.bootstrap_interval(boxes, resamples=10, rng=rng)["AP50"]
        assert row["AP50 box (ours)"].endswith(f"({low:.1f}–{high:.1f})")
        assert instance_table(tmp_path, [file], [OBJECTS], seed=1) != [row]
        assert instance_table(tmp_path, [file], [OBJECTS]) == [row]

    def test_perfect_masks_are_100_per_cent_and_stand_beside_the_papers(self, tmp_path):
        masks = [rectangle(2, 3, 9, 8), rectangle(20, 15, 12, 9)]
        truth = truth_of({1: [(mask, 1, False) for mask in masks]})
        file = match_file(tmp_path, truth, coco_results(1, np.array(masks), np.ones(2)))
        paper = {"#Masks": 13, "AP50 box": 4.0, "AR100 mask": 8.2}
        (row,) = instance_table(tmp_path, [file], [{**OBJECTS, "paper": paper}])
        assert [row[f"{name} (ours)"] for name in MEASURES[1:]] == ["100.0 (100.0–100.0)"] * 6
        assert row["#Masks (ours)"] == "2.0 (2.0–2.0)"
        assert (row["AP50 box (paper)"], row["AP50 box (ours − paper)"]) == ("4.0", "+96.0")
        assert row["AR100 mask (ours − paper)"] == "+91.8"
        heads = list(row)
        assert [head for head in heads if head.endswith("(ours)")] == [f"{name} (ours)" for name in MEASURES]
        place = heads.index("AP50 box (ours)")  # the paper's stands right behind
        assert heads[place + 1 : place + 3] == ["AP50 box (paper)", "AP50 box (ours − paper)"]
        assert row["#Masks (paper)"] == "13"
        numbers = meta(tmp_path, "table8")["rows"][0]["numbers"]
        assert set(numbers) == set(MEASURES)
        assert numbers["AP mask"] == [100, 100, 100]

    def test_boxes_and_masks_have_their_own(self, tmp_path):
        """A mask of half of its box's pixels: right as a box, wrong as a mask."""
        whole = rectangle(4, 5, 20, 20)
        lines = whole.copy()
        lines[6:24:2] = False
        truth = truth_of({1: [(whole, 1, False)]})
        (row,) = instance_table(
            tmp_path, [match_file(tmp_path, truth, coco_results(1, lines[None], np.ones(1)))], [OBJECTS]
        )
        assert row["AP box (ours)"].startswith("100.0")
        assert not row["AP mask (ours)"].startswith("100.0")

    def test_without_objects_the_masks_are_counted_and_the_rest_is_said(self, tmp_path):
        file = match_file(tmp_path, truth_of({1: [], 2: []}), coco_results(1, rectangle(4, 5, 9, 9)[None], np.ones(1)))
        (row,) = instance_table(tmp_path, [file], [OBJECTS])
        assert row["#Masks (ours)"].startswith("0.5 (")
        assert not [head for head in row if head.startswith("A")]
        assert row["Note"] == "scenes has no objects"

    def test_data_sets_have_columns_of_their_own(self, tmp_path):
        files = [match_file(tmp_path, *made_up(seed), f"{d}/b/exact") for seed, d in enumerate(("scenes", "photos"))]
        rows = [OBJECTS, {**OBJECTS, "datasets": ["photos"]}]
        both, one = instance_table(tmp_path, files, rows, datasets=["scenes", "photos"])
        assert both["AP mask (ours, scenes)"] != both["AP mask (ours, photos)"]
        assert (one["AP mask (ours, scenes)"], one["AP mask (ours, photos)"]) == ("", both["AP mask (ours, photos)"])


def test_every_kind_of_table_is_written():
    assert set(WRITERS) == set(FITTING) == set(QUANTITIES)


def test_claims_may_be_about_what_the_writers_give_and_nothing_else(tmp_path):
    zeroshot_table(tmp_path, [confusion_file(tmp_path, {"a": FIRST})], [OURS])
    instance_table(tmp_path, [match_file(tmp_path, *made_up(2))], [OBJECTS])
    for name, kind in (("table7", "zeroshot"), ("table8", "instances")):
        (found,) = meta(tmp_path, name)["rows"]
        assert set(found["numbers"]) == set(quantities(kind))


@pytest.mark.parametrize("kind", ["zeroshot", "instances"])
def test_a_table_of_the_papers_rows_alone_needs_no_file(tmp_path, kind):
    table = {**TABLE, "rows": [THEIRS]}
    WRITERS[kind](tmp_path / "t.csv", {}, table=table, seed=0, resamples=5)
    (row,) = read(tmp_path / "t.csv")
    assert row["Note"] == "needs weights"
