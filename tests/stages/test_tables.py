"""Tables: planted counts give known cells, gaps say why, and all three forms hold the same."""

import csv
import json

import pandas as pd
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.config.claims import quantities
from whatwhere.evaluate.matching import COUNTS
from whatwhere.evaluate.zeroshot import TEMPLATES
from whatwhere.publish.tables import Number, computed_on, is_number, merged, on_dataset, write_table
from whatwhere.stages.decoded_tables import write_zeroshot_table
from whatwhere.stages.tables import write_oracle_table, write_seconds_table

ROW = {"paper": None, "backbone": None, "method": None, "reason": "", "reported": "", "datasets": None, "crf": False}
TABLE = {
    "title": "Table 1",
    "source": "paper, Table 1",
    "datasets": ["scenes"],
    "columns": ["Model", "Mask"],
    "clusters": 3,
    "graphs": True,
    "rows": [
        {**ROW, "labels": ["ours", "K-means"], "backbone": "b", "method": "kmeans"},
        {**ROW, "labels": ["ours", "masks"], "backbone": "b", "method": "masks", "paper": 0.6},
        {**ROW, "labels": ["theirs", "K & M"], "paper": 0.8, "reason": "needs weights"},
    ],
}
METHODS = {"kmeans": {"kind": "exact", "operator": "walk"}, "masks": {"kind": "maskcut"}}


def counts(image, clusters, intersection, *, chosen, named=True):
    """One class of 100 pixels, predicted as 100, in one image under one partition."""
    return {
        "image": image,
        "annotator": 0,
        "label": 0,
        "intersection": intersection,
        "predicted": 100,
        "actual": 100,
        "clusters": clusters,
        "chosen": chosen,
        "graphs": "4 graphs",
        "named": named,
    }


def write_scores(root, dataset, method, rows):
    path = root / "scores" / dataset / "b" / method / "x.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)
    return str(path)


@pytest.fixture
def scores(tmp_path):
    # IoU of 50 of 100 and 100 is 1/3, of 80 is 2/3; the first image chose K = 2, the second K = 3
    kmeans = [
        counts("a", 2, 50, chosen=True),
        counts("a", 3, 80, chosen=False),
        counts("b", 2, 80, chosen=False),
        counts("b", 3, 50, chosen=True),
    ]
    masks = [counts("a", 3, 80, chosen=True), counts("b", 2, 80, chosen=True)]
    return [write_scores(tmp_path, "scenes", "kmeans", kmeans), write_scores(tmp_path, "scenes", "masks", masks)]


def read(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def written(tmp_path, scores, methods=METHODS, **changes):
    table = {**TABLE, **changes}
    out = tmp_path / "table1.csv"
    write_oracle_table(out, {"scores": scores}, table=table, methods=methods, chosen="auto", seed=0, resamples=50)
    return read(out)


def test_what_maskcut_lacks_is_noted_where_it_is(tmp_path, scores):
    written(tmp_path, scores)
    assert "MaskCut without its CRF." in (tmp_path / "table1.md").read_text()
    written(tmp_path, scores, methods={"kmeans": METHODS["kmeans"]})
    assert "MaskCut" not in (tmp_path / "table1.md").read_text()


def test_cells_are_those_of_the_chosen_and_of_the_common_k(tmp_path, scores):
    kmeans, masks, theirs = written(tmp_path, scores)
    assert kmeans["mIoU (ours)"] == "0.333"  # each image's own K
    assert kmeans["mIoU, K = 3"] == f"{130 / 270:.3f}"  # the same K: counts are summed, then divided
    assert kmeans["Mean K"].startswith("2.5 (")
    assert (kmeans["Images"], kmeans["Graphs"], kmeans["Operator"]) == ("2", "4 graphs", "walk")
    assert masks["mIoU (ours)"] == "0.667"
    assert masks["mIoU, K = 3"] == ""  # though one image happens to have three
    assert masks["mIoU (paper)"] == "0.60"
    assert (theirs["mIoU (paper)"], theirs["mIoU (ours)"], theirs["Note"]) == ("0.80", "", "needs weights")


def test_several_data_sets_have_columns_of_their_own(tmp_path, scores):
    more = [counts("c", 2, 100, chosen=True, named=False), counts("c", 3, 100, chosen=False, named=False)]
    scores = [*scores, *(write_scores(tmp_path, "photos", m, more) for m in METHODS)]
    kmeans, *_ = written(tmp_path, scores, datasets=["scenes", "photos"])
    assert kmeans["mIoU (ours, scenes)"] == "0.333"
    assert kmeans["mIoU (ours, photos)"] == "1.000"
    assert kmeans["Images, photos"] == "1"


def test_a_data_set_without_labels_says_so(tmp_path, scores):
    empty = pd.DataFrame(columns=list(counts("a", 2, 1, chosen=True)))
    for path in scores:
        empty.to_parquet(path)
    kmeans, masks, _ = written(tmp_path, scores)
    assert kmeans["Note"] == masks["Note"] == "scenes has no labels"


def test_several_data_sets_without_labels_all_say_so(tmp_path, scores):
    scores = [*scores, *(write_scores(tmp_path, "photos", m, [counts("c", 2, 1, chosen=True)]) for m in METHODS)]
    empty = pd.DataFrame(columns=list(counts("a", 2, 1, chosen=True)))
    for path in scores:
        empty.to_parquet(path)
    kmeans, *_ = written(tmp_path, scores, datasets=["scenes", "photos"])
    assert kmeans["Note"] == "scenes has no labels; photos has no labels"


def test_a_row_may_be_of_one_data_set(tmp_path, scores):
    rows = [{**TABLE["rows"][0], "datasets": ["scenes"]}, TABLE["rows"][2]]
    kmeans, _ = written(tmp_path, scores, rows=rows, datasets=["scenes", "photos"])
    assert kmeans["mIoU (ours, scenes)"] == "0.333"
    assert "mIoU (ours, photos)" not in kmeans


def test_intervals_are_numbers_as_well_in_the_csv_alone(tmp_path, scores):
    kmeans, masks, theirs = written(tmp_path, scores)
    value, low, high = (float(kmeans[f"mIoU [{part}]"]) for part in ("value", "low", "high"))
    assert value == pytest.approx(1 / 3, rel=1e-5)
    assert kmeans["95 % interval"] == f"{low:.3f}–{high:.3f}"
    assert float(kmeans["mIoU, K = 3 [value]"]) == pytest.approx(130 / 270, rel=1e-5)
    assert masks["mIoU, K = 3 [value]"] == theirs["mIoU [value]"] == ""
    assert list(kmeans)[-9:] == [
        f"{name} [{part}]" for name in ("mIoU", "mean K", "mIoU, K = 3") for part in ("value", "low", "high")
    ]
    for kind in ("md", "tex"):
        assert "[value]" not in (tmp_path / f"table1.{kind}").read_text()
    frame = pd.read_csv(tmp_path / "table1.csv")
    assert all(frame[name].dtype == float for name in frame if name.endswith("]"))


def test_numbers_of_several_data_sets_have_columns_of_their_own(tmp_path, scores):
    more = [counts("c", 2, 100, chosen=True), counts("c", 3, 100, chosen=False)]
    scores = [*scores, *(write_scores(tmp_path, "photos", m, more) for m in METHODS)]
    kmeans, *_ = written(tmp_path, scores, datasets=["scenes", "photos"])
    assert kmeans["mIoU, photos [value]"] == "1"
    assert float(kmeans["mIoU, scenes [value]"]) < 0.5


def entries(path):
    return json.loads(path.read_text())["rows"]


def test_the_papers_number_stands_against_ours(tmp_path, scores):
    rows = [{**TABLE["rows"][0], "paper": 0.78, "of": "DINO ViT-S/16"}, *TABLE["rows"][1:]]
    kmeans, masks, theirs = written(tmp_path, scores, rows=rows)
    assert [row["Paper's model"] for row in (kmeans, masks, theirs)] == ["DINO ViT-S/16", "", ""]
    assert kmeans["mIoU (ours − paper)"] == "−0.45"  # 1/3 - 0.78
    assert masks["mIoU (ours − paper)"] == "+0.07"  # 2/3 - 0.6
    assert theirs["mIoU (ours − paper)"] == ""
    heads = list(kmeans)
    assert heads[2:5] == ["Paper's model", "mIoU (paper)", "mIoU (ours − paper)"]


def test_numbers_for_programs_are_exact(tmp_path, scores):
    written(tmp_path, scores)
    kmeans, masks = entries(tmp_path / "table1.meta.json")
    assert {key: kmeans[key] for key in ("labels", "backbone", "method", "naming", "crf", "dataset")} == {
        "labels": ["ours", "K-means"],
        "backbone": "b",
        "method": "kmeans",
        "naming": None,
        "crf": False,
        "dataset": "scenes",
    }
    value, low, high = kmeans["numbers"]["mIoU"]
    assert value == pytest.approx(1 / 3, abs=1e-15)
    assert low <= value <= high
    assert kmeans["numbers"]["mIoU, K = 3"][0] == pytest.approx(130 / 270, abs=1e-15)
    assert kmeans["numbers"]["mean K"][0] == 2.5
    assert "mIoU, K = 3" not in masks["numbers"]


@pytest.mark.parametrize("clusters", [2, 3, None])
def test_claims_may_be_about_what_the_oracle_gives_and_nothing_else(tmp_path, scores, clusters):
    written(tmp_path, scores, clusters=clusters)
    kmeans, _ = entries(tmp_path / "table1.meta.json")
    assert set(kmeans["numbers"]) == set(quantities("oracle", clusters))


def test_a_data_set_without_labels_has_no_numbers(tmp_path, scores):
    empty = pd.DataFrame(columns=list(counts("a", 2, 1, chosen=True)))
    for path in scores:
        empty.to_parquet(path)
    written(tmp_path, scores)
    assert [row["numbers"] for row in entries(tmp_path / "table1.meta.json")] == [{}, {}]


def test_all_forms_hold_the_same(tmp_path, scores):
    written(tmp_path, scores)
    markdown = (tmp_path / "table1.md").read_text()
    latex = (tmp_path / "table1.tex").read_text()
    meta = json.loads((tmp_path / "table1.meta.json").read_text())
    for row in read(tmp_path / "table1.csv"):
        assert row["mIoU (ours)"] in markdown
        assert row["mIoU (ours)"] in latex
    assert r"K \& M" in latex
    assert meta["title"] == "Table 1"
    assert any("silhouette" in note for note in meta["notes"])


def test_seconds_are_added_up_and_name_the_machine(tmp_path):
    phases = {
        "forward": 0.5,
        "fold": 0.25,
        "solve": 0.125,
        "cluster": 0.125,
        "graphs": "4 graphs",
        "status": "10 steps",
    }
    timing = {
        "dataset": "scenes",
        "backbone": "b",
        "machine": "a GPU",
        "image_px": "8 × 8",
        "methods": {"exact": phases},
    }
    (tmp_path / "b.json").write_text(json.dumps(timing))
    row = {**ROW, "labels": ["ours", "exact"], "backbone": "b", "method": "exact", "paper": 40}
    write_seconds_table(tmp_path / "t.csv", {"timings": [str(tmp_path / "b.json")]}, table={**TABLE, "rows": [row]})
    (found,) = read(tmp_path / "t.csv")
    assert (found["Seconds (paper)"], found["Total, ours (s)"], found["Fold (s)"]) == ("40", "1", "0.25")
    assert found["Seconds (ours − paper)"] == "−39"
    (entry,) = entries(tmp_path / "t.meta.json")
    assert entry["numbers"]["seconds"] == [1.0, None, None]
    assert entry["numbers"]["seconds, fold"] == [0.25, None, None]
    assert set(entry["numbers"]) == set(quantities("seconds"))  # what claims may be about
    assert "a GPU" in (tmp_path / "t.md").read_text()


def naming(**changes):
    return {"measure": "probability", "threshold": 0.7, "templates": None, "most": None, **changes}


def test_notes_say_how_each_naming_that_is_used_decides(tmp_path):
    rows = [{**ROW, "labels": ["theirs", ""], "naming": None, "paper": 0.5, "reason": "needs weights"}]
    files = []
    for name in ("things", "cosines", "things"):
        path = tmp_path / f"scenes/b/tokens/{name}/0.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(columns=COUNTS).to_parquet(path)
        files = [*dict.fromkeys([*files, str(path)])]
        rows.append({**ROW, "labels": ["ours", ""], "backbone": "b", "method": "tokens", "naming": name})
    namings = {
        "things": naming(),
        "cosines": naming(measure="cosine", threshold=0.25, templates=("a {}.",), most=5),
        "other": naming(),
    }

    def notes(**more):
        table = {**TABLE, "rows": rows}
        write_zeroshot_table(tmp_path / "t.csv", {"confusion": files}, table=table, seed=0, resamples=2, **more)
        return json.loads((tmp_path / "t.meta.json").read_text())["notes"]

    before = notes()
    after = notes(namings=namings)
    assert after[: len(before)] == before
    rest = "and is background elsewhere"
    assert after[len(before) :] == [
        "Naming things: a region has the name of its best class where the probability is above 0.7, "
        f"{rest}; {len(TEMPLATES)} prompts a class.",
        "Naming cosines: a region has the name of its best class (the 5 most probable of the image compete) where the "
        f"cosine is above 0.25, {rest}; 1 prompt a class.",
    ]


# ------------------------------------------------------------------------------- rows, whatever is in them


def table_of(rows, **changes):
    return {
        "title": "T",
        "source": "paper",
        "datasets": ["scenes", "photos"],
        "columns": ["Name"],
        "rows": rows,
        **changes,
    }


def write(folder, rows, ours=None, columns=("Ours",), name="t", **changes):
    out = folder / f"{name}.csv"
    choice = {"paper": "(paper)", "paper_format": ".1f", "notes": ["a note of 100 %"], **changes}
    write_table(out, table_of(rows), ours or [{}] * len(rows), columns, **choice)
    return read(out)


def paper_row(**changes):
    return {**ROW, "labels": ["r"], **changes}


def test_several_numbers_of_the_paper_stand_under_their_names(tmp_path):
    rows = [paper_row(paper={"B": 2, "A": 1.25}), paper_row(paper={"C": 3.06}), paper_row(), paper_row(paper={})]
    found = write(tmp_path, rows, [{"Ours": "x"}, {}, {}, {}])
    assert list(found[0]) == ["Name", "B (paper)", "A (paper)", "C (paper)", "Ours"]
    assert [list(row.values())[1:4] for row in found] == [["2.0", "1.2", ""], ["", "", "3.1"], [""] * 3, [""] * 3]


def test_one_number_of_the_paper_stands_under_the_heading(tmp_path):
    (row,) = write(tmp_path, [paper_row(paper=0.5)], paper="mIoU (paper)", paper_format=".2f")
    assert row == {"Name": "r", "mIoU (paper)": "0.50"}
    (zero,) = write(tmp_path, [paper_row(paper=0)], paper_format="g")
    assert zero["(paper)"] == "0"


AGAINST = {"": "greedy", "greedy": "greedy", "Hungarian": "Hungarian"}


def differences(folder, rows, numbers, **changes):
    """Cells of the columns with differences, by the paper's name, for each row."""
    choice = {"paper": "(paper)", "notes": ["n"], "paper_format": "", "numbers": numbers, "against": AGAINST}
    shape = {"compared": changes.pop("compared", {})}
    write_table(folder / "t.csv", table_of(rows, **shape), [{}] * len(rows), [], **{**choice, **changes})
    end = "(ours − paper)"
    found = [
        {head.removesuffix(end).strip(): cell for head, cell in row.items() if end in head}
        for row in read(folder / "t.csv")
    ]
    return [{name: cell for name, cell in row.items() if cell} for row in found]


def test_differences_are_of_the_same_data_set_and_quantity(tmp_path):
    paper = {"COCO": 10.0, "COCO-27 greedy": 20.0, "COCO-27 Hungarian": 30.0, "City greedy": 1.0, "City other": 2.0}
    ours = {"scenes": {"greedy": Number(11.0), "Hungarian": Number(22.0)}, "photos": {"greedy": Number(3.0)}}
    (row,) = differences(
        tmp_path, [paper_row(paper=paper)], [ours], compared={"COCO": "scenes", "COCO-27": "scenes", "City": "photos"}
    )
    # the longest name of a data set counts, and what we have no number for has no difference
    assert row == {"COCO": "+1.0", "COCO-27 greedy": "−9.0", "COCO-27 Hungarian": "−8.0", "City greedy": "+2.0"}


def test_names_without_a_data_set_are_of_the_first(tmp_path):
    ours = [{"scenes": {"greedy": Number(1.0)}, "photos": {"greedy": Number(5.0)}}]
    row = paper_row(paper={"greedy": 2.0, "COCO greedy": 2.0})
    assert differences(tmp_path, [row], ours) == [{"greedy": "−1.0"}]  # of COCO it is not said what is held against it
    assert differences(tmp_path, [row], ours, compared={"COCO": "photos"}) == [
        {"greedy": "+3.0", "COCO greedy": "+3.0"}
    ]


@pytest.mark.parametrize(
    ("theirs", "ours", "shown"),
    [
        (0.78, 0.3756, "−0.40"),
        (25.4, 27.06, "+1.7"),
        (10.91, 10.914, "±0.00"),
        (10.91, 10.906, "±0.00"),
        (0.5, 0.5, "±0.0"),
        (3.0, float("nan"), ""),
    ],
)
def test_differences_are_signed_and_have_the_papers_digits(tmp_path, theirs, ours, shown):
    (row,) = differences(tmp_path, [paper_row(paper=theirs)], [{"scenes": {"greedy": Number(ours)}}])
    assert next(iter(row.values()), "") == shown


def test_a_difference_follows_the_papers_number_and_is_explained(tmp_path):
    rows = [paper_row(paper={"greedy": 1.0, "Hungarian": 2.0}, of="SD"), paper_row()]
    ours = {"greedy": Number(1.5), "Hungarian": Number(1.5)}
    differences(tmp_path, rows, [{"scenes": ours}, {"scenes": ours}])
    row, none = read(tmp_path / "t.csv")
    heads = ["greedy (paper)", "greedy (ours − paper)", "Hungarian (paper)", "Hungarian (ours − paper)"]
    assert [name for name in row if not is_number(name)] == ["Name", "Paper's model", *heads]
    assert list(none.values())[1:6] == [""] * 5
    notes = json.loads((tmp_path / "t.meta.json").read_text())["notes"]
    assert notes[0] == "n"
    assert notes[1].startswith("Ours − paper: ")
    assert "$-$0.5" in (tmp_path / "t.tex").read_text("utf-8")
    differences(tmp_path, [paper_row(paper=1.0)], [{}])
    assert json.loads((tmp_path / "t.meta.json").read_text())["notes"] == ["n"]


def test_rows_for_programs_are_of_each_data_set(tmp_path):
    numbers = [{}, {"scenes": {"a": Number(0.1, 0.0, float("nan")), "b": Number(float("nan"))}, "photos": {}}]
    rows = [paper_row(reason="none"), paper_row(backbone="b", method="m", naming="things", crf=True)]
    differences(tmp_path, rows, numbers)
    scenes, photos = entries(tmp_path / "t.meta.json")
    assert (scenes["dataset"], scenes["naming"], scenes["crf"]) == ("scenes", "things", True)
    assert scenes["numbers"] == {"a": [0.1, 0.0, None]}
    assert photos["numbers"] == {}


def test_who_reported_a_number_is_noted(tmp_path):
    rows = [
        paper_row(paper=1, reported="[12], quoted"),
        paper_row(reason="needs weights"),
        paper_row(reported="[12]", reason="needs weights"),
        paper_row(reason="needs weights"),
    ]
    found = write(tmp_path, rows, [{}, {}, {}, {"Note": "no labels"}])
    assert [row["Note"] for row in found] == ["reported: [12], quoted", "needs weights", "reported: [12]", "no labels"]


def test_columns_that_would_be_empty_are_left_out(tmp_path):
    found = write(tmp_path, [paper_row(labels=[""])] * 2, [{"Ours": "1"}, {}], columns=("Ours", "Nothing"))
    assert [list(row) for row in found] == [["Name", "Ours"]] * 2  # the names stay, even when they are empty


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"backbone": "b"}, ["scenes", "photos"]),
        ({"backbone": "b", "datasets": ["photos"]}, ["photos"]),
        ({"backbone": "b", "datasets": []}, ["scenes", "photos"]),
        ({"datasets": ["photos"]}, []),
        ({}, []),
    ],
)
def test_what_a_row_is_computed_on(row, expected):
    assert list(computed_on(table_of([]), {**ROW, **row})) == expected


def test_the_best_of_several_is_chosen_on_images_that_are_not_scored(tmp_path):
    """On the others `masks` is better, here `kmeans` is: the row is of `masks`, and says so."""
    files = [
        write_scores(tmp_path, data, method, [counts("a", 3, right, chosen=True)])
        for data, method, right in (
            ("scenes", "kmeans", 90),
            ("scenes", "masks", 80),
            ("rest", "kmeans", 50),
            ("rest", "masks", 60),
        )
    ]
    row = {**TABLE["rows"][0], "among": ["kmeans", "masks"], "chosen_on": "rest"}
    table = {**TABLE, "rows": [TABLE["rows"][0], row]}
    settings = {"methods": METHODS, "chosen": "auto", "seed": 0, "resamples": 10}
    write_oracle_table(tmp_path / "t.csv", {"scores": files}, table=table, **settings)
    plain, best = read(tmp_path / "t.csv")
    assert plain["mIoU (ours)"] == f"{90 / 110:.3f}"
    assert best["mIoU (ours)"] == f"{80 / 120:.3f}"
    assert best["Note"] == "masks, the best of 2 on rest"
    assert [entry["chosen"] for entry in entries(tmp_path / "t.meta.json")] == [False, True]


def test_a_best_that_nothing_speaks_for_is_refused(tmp_path):
    """No method has a partition of so many clusters where the choice is made."""
    files = [write_scores(tmp_path, data, "kmeans", [counts("a", 3, 90, chosen=True)]) for data in ("scenes", "rest")]
    row = {**TABLE["rows"][0], "among": ["kmeans"], "chosen_on": "rest", "chosen_clusters": 12}
    settings = {"methods": METHODS, "chosen": "auto", "seed": 0, "resamples": 10}
    with pytest.raises(InputError, match="expected a score on rest to choose by, got none"):
        write_oracle_table(tmp_path / "t.csv", {"scores": files}, table={**TABLE, "rows": [row]}, **settings)


def test_a_row_whose_graphs_are_complete_or_empty_says_so(tmp_path):
    rows = [
        {**counts(name, 3, 50, chosen=True), "joined": share}
        for name, share in (("a", 1.0), ("b", 0.9995), ("c", 0.0), ("d", 0.4))
    ]
    file = write_scores(tmp_path, "scenes", "masks", rows)
    table = {**TABLE, "rows": TABLE["rows"][1:2]}
    settings = {"methods": METHODS, "chosen": "auto", "seed": 0, "resamples": 10}
    write_oracle_table(tmp_path / "t.csv", {"scores": [file]}, table=table, **settings)
    (row,) = read(tmp_path / "t.csv")
    assert row["Note"] == "scenes: graph complete in 2 of 4 images, graph empty in 1 of 4 images"


def test_headings_name_the_data_set_where_there_are_several():
    assert on_dataset(table_of([]), "photos") == ", photos"
    assert on_dataset(table_of([], datasets=["photos"]), "photos") == ""


def test_notes_of_several_data_sets_all_stay():
    assert merged({"a": "1", "Note": "x"}, {"b": "2", "Note": "y"}) == {"a": "1", "b": "2", "Note": "x; y"}
    assert merged({"a": "1", "Note": "x"}, {"a": "2"}) == {"a": "2", "Note": "x"}
    assert merged({"a": "1"}, {}) == {"a": "1"}


def test_what_latex_reads_otherwise_is_escaped(tmp_path):
    write(tmp_path, [paper_row(labels=["A_1 & B, 5 %"])], [{"Ours": "1.0–2.0, 3 × 4"}])
    latex = (tmp_path / "t.tex").read_text("utf-8")
    assert r"A\_1 \& B, 5 \% & 1.0--2.0, 3 $\times$ 4 \\" in latex
    assert r"\caption{T. a note of 100 \%}" in latex


def test_names_with_a_dot_do_not_overwrite_each_other(tmp_path):
    for name in ("t.1", "t.2"):
        write(tmp_path, [paper_row(labels=[name])], name=name)
    kinds = ("csv", "md", "tex", "meta.json", "draws.parquet")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"t.{i}.{kind}" for i in (1, 2) for kind in kinds)
    assert "t.1" in (tmp_path / "t.1.md").read_text()


def test_tables_are_whole_or_absent(tmp_path):
    with pytest.raises(ValueError, match="shorter"):
        write(tmp_path, [paper_row()] * 2, [{}])
    assert not list(tmp_path.iterdir())
