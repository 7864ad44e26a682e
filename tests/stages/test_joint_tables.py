"""Tables of a data set as a whole: planted counts and errors give known cells."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.stages.test_coordinates import coordinates, regressed
from tests.stages.test_matching_stage import image_stores, matched
from tests.stages.test_segments import clustered, names, vector_stores
from tests.stages.test_tables import ROW, read
from whatwhere.artifacts.errors import InputError
from whatwhere.config import parse
from whatwhere.config.claims import quantities
from whatwhere.config.tables import Matching, Positions, runs
from whatwhere.evaluate.matching import COUNTS, accuracy, greedy, hungarian, mean_iou
from whatwhere.evaluate.resampling import interval
from whatwhere.publish.tables import computed_on, is_number, read_draws
from whatwhere.stages.joint_tables import write_matching_table, write_position_table

#: Clusters by classes of two images: 8 of 10 and 6 of 10 pixels right, the other way round.
FIRST = [[5, 0], [2, 3]]
SECOND = [[1, 4], [5, 0]]
TABLE = {"title": "Table 3", "source": "paper, Table 3", "datasets": ["scenes"], "columns": ["Method", "Model"]}
OURS = {**ROW, "labels": ["ours", "b"], "backbone": "b", "method": "what"}
OURS_CRF = {**OURS, "labels": ["ours+CRF", "b"], "crf": True}
THEIRS = {**ROW, "labels": ["PiCIE & H", ""], "paper": {"COCO": 10.91, "City": 12.3}, "reported": "[14], quoted"}
PAPERS = {**ROW, "labels": ["paper's", "SD"], "paper": {"COCO": 25.4}, "reason": "needs weights"}


# ------------------------------------------------------------------------------------------- helpers


def rows_of(images, target="what", draw=0):
    """Rows as `write_matching` writes them, of counts by image, in one draw of clusters."""
    rows = []
    for image, counts in images.items():
        clusters, classes = np.shape(counts)
        places = np.argwhere(counts)
        rows += [[image, target, draw, classes, clusters, c, t, np.array(counts)[c, t]] for c, t in places]
    return pd.DataFrame(rows, columns=COUNTS)


def counts_file(root, frame, dataset="scenes", backbone="b", method="what"):
    path = root / dataset / backbone / f"{method}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)
    return str(path)


def error_file(root, *errors, unit=None, dataset="scenes", backbone="b", method="what"):
    """As `write_coordinates` writes it, of images with one test cell each and these errors."""
    path = root / dataset / backbone / f"{method}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    plain, scaled = ({"mse": np.mean(e), "squares": e, "cells": [1] * len(e)} for e in (errors, unit or errors))
    found = {**plain, "images": names(len(errors)), **({"unit": scaled} if unit else {}), "settings": {}}
    path.write_text(json.dumps(found))
    return str(path)


def matching_table(folder, given, rows, resamples=50, seed=0, unit_rows=True, **changes):
    out = folder / "table3.csv"
    table = {**TABLE, "rows": rows, **changes}
    write_matching_table(out, given, table=table, seed=seed, resamples=resamples, unit_rows=unit_rows)
    return read(out)


def position_table(folder, given, rows, resamples=50, seed=0, unit_rows=True, **changes):
    out = folder / "table5.csv"
    table = {**TABLE, "title": "Table 5", "rows": rows, **changes}
    write_position_table(out, given, table=table, seed=seed, resamples=resamples, unit_rows=unit_rows)
    return read(out)


@pytest.fixture
def planted(tmp_path):
    """The file of one run on two images."""
    return {"matching": [counts_file(tmp_path, rows_of({"a": FIRST, "b": SECOND}))]}


def ends(cell):
    low, high = cell.split("–")
    return float(low), float(high)


class TestMatchingCells:
    def test_are_the_scores_of_the_summed_counts(self, tmp_path, planted):
        (row,) = matching_table(tmp_path, planted, [OURS])
        # summed: [[6, 4], [7, 3]]; one to one, cluster 1 is class 0 (7 + 4 right); greedily both are class 0
        total = np.array(FIRST) + SECOND
        assert (row["Hungarian mIoU"], row["Accuracy"]) == (f"{100 * (7 / 16 + 4 / 13) / 2:.1f}", "55.0")
        assert row["Greedy mIoU"] == f"{100 * (13 / 20 + 0) / 2:.1f}"
        assert row["Hungarian mIoU"] == f"{100 * mean_iou(total, hungarian(total)):.1f}"
        assert row["Greedy mIoU"] == f"{100 * mean_iou(total, greedy(total)):.1f}"
        assert row["Accuracy"] == f"{100 * accuracy(total, hungarian(total)):.1f}"
        assert row["Images"] == "2"

    def test_intervals_are_of_images_under_one_matching(self, tmp_path, planted):
        (row,) = matching_table(tmp_path, planted, [OURS], resamples=200)
        images = [np.array(FIRST), np.array(SECOND)]
        for name, match in (("Greedy", greedy), ("Hungarian", hungarian)):
            given = match(sum(images))
            ious = sorted(100 * mean_iou(one, given) for one in images)
            assert ends(row[f"{name}, 95 % interval"]) == pytest.approx((ious[0], ious[1]), abs=0.051)

    @pytest.mark.parametrize("unit_rows", [True, False])
    @pytest.mark.parametrize("kind", ["matching", "position"])
    def test_notes_say_how(self, tmp_path, planted, kind, unit_rows):
        given = {**planted, "coordinates": [error_file(tmp_path, 20.0, 19.0, 21.0)]}
        write, file = {"matching": (matching_table, "table3"), "position": (position_table, "table5")}[kind]
        write(tmp_path, given, [OURS], unit_rows=unit_rows)
        notes = "\n".join(json.loads((tmp_path / f"{file}.meta.json").read_text())["notes"])
        assert "Accuracy is of Hungarian matching." in notes
        assert "50 resamples" in notes
        assert "the classes of the clusters stay" in notes
        assert ("Rows of X are brought to unit length before K-means" in notes) is unit_rows
        assert "The other way" not in notes
        assert ("Rows of X are not brought to unit length" in notes) is not unit_rows
        assert ("its own rows in Table 3 is of greedy matching; STEGO's" in notes) is (kind == "matching")
        assert ("of Hungarian matching on Cityscapes and of neither on COCO-Stuff" in notes) is (kind == "matching")

    def test_methods_whose_rows_are_clustered_otherwise_are_named(self, tmp_path, planted):
        table = {**TABLE, "rows": [OURS]}
        choice = {"seed": 0, "resamples": 5, "unit_rows": True, "otherwise": ["as-is", "plain"]}
        write_matching_table(tmp_path / "table3.csv", planted, table=table, **choice)
        notes = json.loads((tmp_path / "table3.meta.json").read_text())["notes"]
        assert any(note.endswith("The other way: as-is, plain.") for note in notes)

    def test_where_is_not_counted(self, tmp_path):
        where = rows_of({"a": np.eye(4, dtype=int)}, "where")
        file = counts_file(tmp_path, pd.concat([rows_of({"a": FIRST}), where]))
        (row,) = matching_table(tmp_path, {"matching": [file]}, [OURS])
        assert row["Accuracy"] == "80.0"

    def test_clusters_without_a_pixel_keep_their_place(self, tmp_path):
        """Counts of zero are not in the file: the table still has all classes and clusters."""
        counts = np.diag([4, 0, 3])
        counts[1, 2] = 1
        (row,) = matching_table(tmp_path, {"matching": [counts_file(tmp_path, rows_of({"a": counts}))]}, [OURS])
        assert row["Hungarian mIoU"] == f"{100 * (1 + 0 + 3 / 4) / 3:.1f}"  # cluster 1 has to be class 1
        assert row["Greedy mIoU"] == "100.0"

    def test_rows_with_a_crf_read_the_refined_counts(self, tmp_path, planted):
        refined = counts_file(tmp_path / "refined", rows_of({"a": [[5, 0], [0, 5]]}))
        plain, crf = matching_table(tmp_path, {**planted, "refined": [refined]}, [OURS, OURS_CRF])
        assert (plain["Accuracy"], crf["Accuracy"]) == ("55.0", "100.0")
        assert (plain["Images"], crf["Images"]) == ("2", "1")

    def test_each_run_has_its_own(self, tmp_path, planted):
        other = counts_file(tmp_path, rows_of({"a": FIRST}), method="what.v2")
        rows = [OURS, {**OURS, "method": "what.v2"}]
        found = matching_table(tmp_path, {"matching": [*planted["matching"], other]}, rows)
        assert [row["Accuracy"] for row in found] == ["55.0", "80.0"]

    def test_no_labels_are_said(self, tmp_path):
        files = [counts_file(tmp_path, rows_of({}), dataset=dataset) for dataset in ("scenes", "photos")]
        (row,) = matching_table(tmp_path, {"matching": files[:1]}, [OURS])
        assert (row["Note"], "Accuracy" in row) == ("no labels", False)
        files[0] = counts_file(tmp_path, rows_of({"a": FIRST}))
        (row,) = matching_table(tmp_path, {"matching": files}, [OURS], datasets=["scenes", "photos"])
        assert (row["Note"], row["Accuracy, scenes"]) == ("no labels on photos", "80.0")

    def test_no_labels_on_several_data_sets_are_said_of_each(self, tmp_path):
        files = [counts_file(tmp_path, rows_of({}), dataset=dataset) for dataset in ("scenes", "photos")]
        (row,) = matching_table(tmp_path, {"matching": files}, [OURS], datasets=["scenes", "photos"])
        assert row["Note"] == "no labels on scenes; no labels on photos"

    def test_the_papers_numbers_stand_against_ours(self, tmp_path, planted):
        paper = {"COCO": 25.4, "COCO Hungarian": 30.0, "City": 1.0}
        row = {**OURS, "paper": paper, "of": "SD"}
        (found,) = matching_table(tmp_path, planted, [row], compared={"COCO": "scenes"})
        assert found["COCO (ours − paper)"] == f"+{100 * 13 / 40 - 25.4:.1f}"  # greedy, where no matching is named
        assert found["COCO Hungarian (ours − paper)"] == f"+{100 * (7 / 16 + 4 / 13) / 2 - 30:.1f}"
        assert "City (ours − paper)" not in found
        assert found["Paper's model"] == "SD"

    def test_numbers_for_programs_tell_rows_with_a_crf_apart(self, tmp_path, planted):
        refined = counts_file(tmp_path / "refined", rows_of({"a": [[5, 0], [0, 5]]}))
        matching_table(tmp_path, {**planted, "refined": [refined]}, [OURS, OURS_CRF, THEIRS])
        plain, crf = json.loads((tmp_path / "table3.meta.json").read_text())["rows"]
        assert (plain["crf"], crf["crf"]) == (False, True)
        assert crf["numbers"]["Hungarian"] == crf["numbers"]["greedy"] == [100.0] * 3
        assert crf["numbers"]["accuracy"] == [100.0, 100.0, 100.0]
        assert plain["numbers"]["greedy"][0] == pytest.approx(100 * 13 / 40)


class TestDraws:
    """Of clusters, by K-means' seed, and of images."""

    def test_a_score_is_the_mean_over_draws_and_its_interval_is_over_them(self, tmp_path):
        """One draw is perfect, in the other a quarter of every image is wrong: no resample of images moves either."""
        wrong = np.array([[3, 1], [1, 3]])
        both = [rows_of(dict.fromkeys("abcd", counts), draw=draw) for draw, counts in enumerate((4 * np.eye(2), wrong))]
        (row,) = matching_table(tmp_path, {"matching": [counts_file(tmp_path, pd.concat(both))]}, [OURS])
        assert row["Hungarian mIoU"] == f"{100 * (1 + 3 / 5) / 2:.1f}"
        assert ends(row["Hungarian, 95 % interval"]) == (60.0, 100.0)
        assert row["Accuracy"] == "87.5"
        draws = read_draws(tmp_path / "table3.draws.parquet")[0]["Hungarian"]
        np.testing.assert_allclose(draws, np.repeat([[100], [60]], 51, axis=1), rtol=1e-6)

    def test_rows_of_the_same_images_are_drawn_alike_in_whatever_order(self, tmp_path):
        right = np.linspace(0, 90, 12).astype(int)
        images = {f"{i}": share * np.eye(3, dtype=int) + 10 for i, share in enumerate(right)}
        other = {name: counts + 5 * np.eye(3, dtype=int) for name, counts in reversed(images.items())}
        few = dict(list(images.items())[:11])
        files = [
            counts_file(tmp_path, rows_of(those), method=method)
            for method, those in (("what", images), ("where", images), ("more", other), ("few", few))
        ]
        rows = [{**OURS, "method": method} for method in ("what", "where", "more", "few")]
        matching_table(tmp_path, {"matching": files}, rows)
        found = read_draws(tmp_path / "table3.draws.parquet")
        np.testing.assert_array_equal(found[0]["greedy"], found[1]["greedy"])  # the same counts
        spread = [np.std(found[i]["Hungarian"] - found[0]["Hungarian"]) for i in (2, 3)]
        assert spread[0] < spread[1] / 2  # paired, and not
        matching_table(tmp_path, {"matching": files[::-1]}, rows[::-1])
        again = read_draws(tmp_path / "table3.draws.parquet")
        for entry in range(4):
            for name, draws in found[entry].items():
                np.testing.assert_array_equal(draws, again[3 - entry][name])


class TestRowsAndColumns:
    def two(self, tmp_path, planted):
        more = counts_file(tmp_path, rows_of({"c": [[5, 0], [0, 5]]}), dataset="photos")
        return {"matching": [*planted["matching"], more]}

    def test_several_data_sets_have_columns_of_their_own(self, tmp_path, planted):
        given = self.two(tmp_path, planted)
        (row,) = matching_table(tmp_path, given, [OURS], datasets=["scenes", "photos"])
        assert (row["Accuracy, scenes"], row["Accuracy, photos"]) == ("55.0", "100.0")
        assert (row["Images, scenes"], row["Images, photos"]) == ("2", "1")
        heads = list(row)
        assert heads[:2] == ["Method", "Model"]
        assert heads.index("Greedy mIoU, scenes") < heads.index("Greedy mIoU, photos")

    @pytest.mark.parametrize("only", ["scenes", "photos"])
    def test_a_row_may_be_of_one_data_set(self, tmp_path, planted, only):
        """What it does not need it does not read."""
        both = self.two(tmp_path, planted)["matching"]
        given = {"matching": [path for path in both if f"/{only}/" in path]}
        row = {**OURS, "datasets": [only]}
        (found,) = matching_table(tmp_path, given, [row], datasets=["scenes", "photos"])
        assert {head for head in found if head.startswith("Accuracy")} == {f"Accuracy, {only}"}

    def test_the_papers_numbers_stand_under_their_names(self, tmp_path, planted):
        rows = [THEIRS, PAPERS, OURS]
        theirs, papers, ours = matching_table(tmp_path, planted, rows)
        assert (theirs["COCO (paper)"], theirs["City (paper)"]) == ("10.91", "12.3")  # as the paper prints them
        assert (papers["COCO (paper)"], papers["City (paper)"]) == ("25.4", "")
        assert (ours["COCO (paper)"], ours["City (paper)"]) == ("", "")
        assert list(ours).index("COCO (paper)") < list(ours).index("Greedy mIoU")
        assert [row["Note"] for row in (theirs, papers, ours)] == ["reported: [14], quoted", "needs weights", ""]
        assert theirs["Hungarian mIoU"] == papers["Hungarian mIoU"] == ""

    def test_follow_the_seed_and_nothing_else(self, tmp_path):
        images = {f"{i}": np.random.default_rng(i).integers(0, 50, (3, 3)) for i in range(12)}
        given = {"matching": [counts_file(tmp_path, rows_of(images))]}
        kinds = ("csv", "md", "tex", "meta.json", "draws.parquet")

        def files(**changes):
            matching_table(tmp_path, given, [THEIRS, OURS], **changes)
            return [(tmp_path / f"table3.{kind}").read_bytes() for kind in kinds]

        first, same, other = files(), files(), files(seed=1)
        assert first == same
        assert first[0] != other[0]
        backwards = rows_of(dict(reversed(images.items())))
        given["matching"] = [counts_file(tmp_path / "backwards", backwards)]
        assert files() == first  # nor does the order of the images

    def test_all_forms_hold_the_same(self, tmp_path, planted):
        found = matching_table(tmp_path, planted, [THEIRS, PAPERS, OURS])
        rows = [{name: cell for name, cell in row.items() if not is_number(name)} for row in found]
        markdown, latex = ((tmp_path / f"table3.{kind}").read_text("utf-8") for kind in ("md", "tex"))
        lines = [[c.strip() for c in line.strip("| ").split(" | ")] for line in markdown.split("\n") if "|" in line]
        assert lines[0] == list(rows[0])
        for row, line in zip(rows, markdown.split("\n")[4:7], strict=True):
            assert line == f"| {' | '.join(row.values())} |"
        body = [line.removesuffix(r" \\") for line in latex.split("\n") if line.endswith(r"\\")]
        for row, line in zip([dict(zip(rows[0], rows[0], strict=True)), *rows], body, strict=True):
            cells = [cell.replace("&", r"\&").replace("%", r"\%").replace("–", "--") for cell in row.values()]
            assert line == " & ".join(cells)
        meta = json.loads((tmp_path / "table3.meta.json").read_text())
        assert (meta["title"], meta["source"]) == ("Table 3", "paper, Table 3")
        assert "Ours are on scenes" in meta["notes"][0]


class TestPosition:
    def test_cells_are_error_and_miou_of_halves(self, tmp_path):
        halves = rows_of({"a": np.diag([4, 3, 2, 1]), "b": np.diag([1, 1, 1, 1])}, "where")
        given = {
            "coordinates": [error_file(tmp_path, 19.4, 19.45, 19.53, unit=(17.1, 17.2, 17.3))],
            "matching": [counts_file(tmp_path, pd.concat([rows_of({"a": FIRST}), halves]))],
        }
        (row,) = position_table(tmp_path, given, [{**OURS, "paper": {"MSE": 19.5, "mIoU": 10.1}}])
        assert (row["MSE"], row["MSE, 95 % interval"]) == ("19.5", "19.4–19.5")
        assert (row["MSE, unit rows"], row["MSE, unit rows, 95 % interval"]) == ("17.2", "17.1–17.3")
        assert (row["MSE (paper)"], row["mIoU (paper)"]) == ("19.5", "10.1")
        assert (row["MSE (ours − paper)"], row["mIoU (ours − paper)"]) == ("±0.0", "+89.9")
        (entry,) = json.loads((tmp_path / "table5.meta.json").read_text())["rows"]
        draws = read_draws(tmp_path / "table5.draws.parquet")[0]
        for name, errors in (("MSE", (19.4, 19.45, 19.53)), ("MSE, unit rows", (17.1, 17.2, 17.3))):
            assert entry["numbers"][name] == pytest.approx([np.mean(errors), *interval(draws[name])])
            assert (draws[name].min(), draws[name].max()) == pytest.approx((min(errors), max(errors)))
        assert {entry["numbers"][name][0] for name in ("spatial", "spatial, greedy", "spatial, accuracy")} == {100.0}
        assert (row["Hungarian mIoU"], row["Greedy mIoU"], row["Accuracy"]) == ("100.0", "100.0", "100.0")
        assert (row["Hungarian, 95 % interval"], row["Images"]) == ("100.0–100.0", "2")
        text = (tmp_path / "table5.md").read_text()
        assert "85.25 is chance" in text
        assert "rows of X scaled to length 1 first, as in spectral clustering after Ng, Jordan and Weiss" in text

    def test_true_labels_have_an_error_only(self, tmp_path):
        ends = ((None, "truth"), ((60.0, 59.0, 61.0), "what"))
        files = [error_file(tmp_path, 72.0, 71.0, 73.0, unit=unit, method=method) for unit, method in ends]
        given = {"coordinates": files, "matching": [counts_file(tmp_path, rows_of({"a": np.eye(4)}, "where"))]}
        truth, ours = position_table(tmp_path, given, [{**OURS, "method": "truth"}, OURS])
        assert (truth["MSE"], truth["MSE, unit rows"], truth["Hungarian mIoU"]) == ("72.0", "", "")
        assert ours["MSE, unit rows"] == "60.0"
        assert ours["Hungarian mIoU"] == "100.0"

    def test_data_sets_have_columns_of_their_own(self, tmp_path):
        errors = [
            error_file(tmp_path, mse, mse - 1, mse + 1, unit=(mse + 5, mse, mse + 10), dataset=d)
            for d, mse in (("scenes", 20.0), ("photos", 30.0))
        ]
        rows = [OURS, {**OURS, "datasets": ["photos"]}]
        both, one = position_table(tmp_path, {"coordinates": errors}, rows, datasets=["scenes", "photos"])
        assert (both["MSE, scenes"], both["MSE, photos"]) == ("20.0", "30.0")
        assert (one["MSE, scenes"], one["MSE, photos"]) == ("", "30.0")
        assert ends(both["MSE, 95 % interval, photos"]) == pytest.approx((29.3, 30.7), abs=0.31)
        assert (both["MSE, unit rows, scenes"], one["MSE, unit rows, photos"]) == ("25.0", "35.0")
        assert ends(both["MSE, unit rows, 95 % interval, photos"]) == pytest.approx((31.7, 38.3), abs=1.71)


@pytest.mark.parametrize(("kind", "write"), [("matching", matching_table), ("position", position_table)])
def test_claims_may_be_about_what_the_writers_give_and_nothing_else(tmp_path, kind, write):
    counts = pd.concat([rows_of({"a": FIRST}), rows_of({"a": np.eye(4)}, "where")])
    errors = error_file(tmp_path, 20.0, 19.0, 21.0, unit=(17.0, 16.0, 18.0))
    write(tmp_path, {"matching": [counts_file(tmp_path, counts)], "coordinates": [errors]}, [OURS])
    (described,) = tmp_path.glob("*.meta.json")
    (found,) = json.loads(described.read_text())["rows"]
    assert set(found["numbers"]) == set(quantities(kind))


class TestFromStores:
    """Through all the files that stand between X and a table."""

    def test_a_perfect_segmentation_is_100_per_cent(self, tmp_path):
        """Three classes, each in a band from border to border with its halves apart, on tokens of 4 × 4 pixels."""
        bands = np.arange(3).repeat(2)[:, None] * np.ones(8, int)  # 6 × 8 tokens
        halves = 2 * bands + (np.arange(8) >= 4)
        rng = np.random.default_rng(0)
        centres = 10 * np.eye(6)[[0, 0, 1, 1, 2, 2]] + np.eye(6)[[3, 4] * 3]
        X = (centres[halves.ravel()] + 0.01 * rng.standard_normal((3, 48, 6))).astype(np.float32)
        labels = bands.repeat(4, axis=0).repeat(4, axis=1)
        labels = np.where(np.arange(32) // 2 == 7, -1, labels)  # what parts the halves is ignored
        labels = np.repeat(labels[None, None], 3, axis=0)
        labels[1, 0, :8] = -1  # the first class is not everywhere
        images = image_stores(tmp_path, labels, (1, 2))
        vectors = vector_stores(tmp_path, X, (2, 1), grid=(6, 8))
        segments = clustered(vectors, tmp_path / "s.json")
        file = tmp_path / "matching" / "scenes" / "b" / "what.parquet"
        matched(images, segments, file, least_px=4, ambiguous=0.1)
        (row,) = matching_table(tmp_path, {"matching": [str(file)]}, [OURS])
        scores = ("Greedy mIoU", "Hungarian mIoU", "Accuracy")
        assert [row[name] for name in scores] == ["100.0"] * 3
        errors = tmp_path / "coordinates" / "scenes" / "b" / "what.json"
        regressed([], vector_stores(tmp_path / "c", coordinates(), grid=(32, 32)), errors)
        given = {"coordinates": [str(errors)], "matching": [str(file)]}
        (row,) = position_table(tmp_path, given, [OURS])
        assert [row[name] for name in ("MSE", *scores)] == ["0.0", *["100.0"] * 3]
        assert row["Images"] == "3"

    def test_another_numbering_of_the_images_changes_nothing(self, tmp_path):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((4, 12, 3)).astype(np.float32)
        labels = rng.integers(0, 3, (4, 1, 12, 16))
        tables = []
        for i, order in enumerate(([0, 1, 2, 3], [2, 0, 3, 1])):
            ids = [names(4)[j] for j in order]
            vectors = vector_stores(tmp_path / str(i), X, grid=(3, 4))
            segments = clustered(vectors, tmp_path / f"s{i}.json")
            images = image_stores(tmp_path / str(i), labels[order], (1, 3), ids=ids)
            file = tmp_path / str(i) / "scenes" / "b" / "what.parquet"
            matched(images, segments, file)
            tables.append(matching_table(tmp_path, {"matching": [str(file)]}, [OURS]))
        assert tables[0] == tables[1]


class TestSettings:
    rows = (
        {"labels": ["a", ""], "backbone": "b", "method": "what"},
        {"labels": ["a+CRF", ""], "backbone": "b", "method": "what", "crf": True},
        {"labels": ["c+CRF", ""], "backbone": "c", "method": "what", "crf": True, "datasets": ["photos"]},
        {"labels": ["c+CRF again", ""], "backbone": "c", "method": "what", "crf": True, "datasets": ["photos"]},
        {"labels": ["theirs", ""], "reported": "[1]", "crf": True},
    )

    def table(self, model=Matching, kind="matching", **changes):
        return model(kind=kind, **{**TABLE, "datasets": ["scenes", "photos"], "rows": self.rows, **changes})

    def test_refined_are_the_runs_of_rows_with_a_crf(self):
        assert self.table().refined() == [
            ("scenes", "b", "what"),
            ("photos", "b", "what"),
            ("photos", "c", "what"),
        ]
        assert self.table(rows=self.rows[:1]).refined() == []

    def test_a_run_is_wanted_once_and_only_where_its_rows_are(self):
        assert runs(self.table()) == [("scenes", "b", "what"), ("photos", "b", "what"), ("photos", "c", "what")]
        plain = [{**row, "crf": False} for row in self.rows]
        assert runs(self.table(Positions, "position", rows=plain)) == runs(self.table())

    def test_a_crf_is_asked_for_in_a_matching_table_only(self):
        with pytest.raises(ValueError, match=r"rows\[0\]\.crf: expected it in a table of kind matching only"):
            self.table(Positions, "position", rows=[{**self.rows[0], "crf": True}])

    def test_what_is_wanted_is_what_the_table_reads(self):
        table = self.table()
        written = table.model_dump(mode="json")
        read_by_rows = {
            (dataset, row["backbone"], row["method"])
            for row in written["rows"]
            for dataset in computed_on(written, row)
        }
        assert read_by_rows == set(runs(table))

    @pytest.mark.parametrize(
        ("row", "line"),
        [
            ({"labels": ["a", ""]}, "expected `backbone` and `method`, or a `reason`"),
            ({"labels": ["a", ""], "backbone": "b", "reported": "[1]"}, "expected `backbone` and `method`"),
            ({"labels": ["a"], "reason": "none"}, r"rows\[0\].labels: expected 2 \(Method, Model\), got \('a',\)"),
            ({"labels": ["a", ""], "reason": "x", "datasets": ["scene"]}, "rows.0..datasets: .*nearest: 'scenes'"),
        ],
    )
    def test_a_wrong_row_is_one_line(self, row, line):
        tree = {"tables": {"t": {**TABLE, "kind": "matching", "rows": [row]}}}
        with pytest.raises(InputError, match=line) as caught:
            parse({"views": {}, "datasets": {}, "backbones": {}, "methods": {}, **tree})
        assert "\n" not in str(caught.value)
