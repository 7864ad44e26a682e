"""The configuration of names and objects: what is wrong is one line, and what tables and figures need is known."""

import copy
from pathlib import Path

import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.config import parse
from whatwhere.config.overlay import configured

OURS = {"backbone": "clip", "method": "exact"}
NAMED = {**OURS, "naming": "things"}
TABLE = {"title": "t", "source": "s", "datasets": ["few"], "columns": ["Method"]}
FIGURE = {"title": "t", "dataset": "few"}
#: Everything that may have a name: a table of each kind, and a figure of each.
TREE = {
    "run": "planted",
    "views": {"native": {"protocol": "none", "multiple_px": 16}},
    "datasets": {name: {"kind": "scenes", "images": 4, "size_px": 64} for name in ("few", "others")},
    "backbones": {name: {"model": f"zoo/{name}", "view": "native"} for name in ("clip", "dino")},
    "methods": {kind: {"kind": kind} for kind in ("exact", "final", "maskcut", "tokens", "truth", "largest", "global")},
    "namings": {"things": {"classes": ["car"]}, "all": {}},
    "tables": {
        "names": {
            **TABLE,
            "kind": "zeroshot",
            "rows": [
                {"labels": ["theirs"], "paper": 0.5, "reason": "needs weights"},
                {"labels": ["ours"], **NAMED},
                {"labels": ["tokens"], **NAMED, "method": "tokens"},
            ],
        },
        "objects": {**TABLE, "kind": "instances", "rows": [{"labels": ["cut"], **OURS, "method": "maskcut"}]},
        "oracle": {**TABLE, "kind": "oracle", "rows": [{"labels": ["dino"], **OURS, "backbone": "dino"}]},
    },
    "figures": {
        "pictures": {
            **FIGURE,
            "kind": "pictures",
            "columns": [
                {"show": "image", "heading": "h"},
                {"show": "truth", "heading": "h", "naming": "things"},
                {"show": "named", "heading": "h", **NAMED, "naming": "all"},
                {"show": "proposals", "heading": "h", "backbone": "dino", "method": "final"},
            ],
            "worst": {**NAMED, "method": "final"},
        },
        "bars": {**FIGURE, "kind": "classes", "dataset": "others", "namings": {"Ours": NAMED, "Again": NAMED}},
    },
}


# ------------------------------------------------------------------------------------------- helpers


def changed(path, value):
    """The tree with another value at a path like `tables.names.rows.1.naming`."""
    tree = copy.deepcopy(TREE)
    place = tree
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    for part in way:
        place = place[part]
    if isinstance(place, list) and last == len(place):
        place.append(value)
    else:
        place[last] = value
    return tree


def only(*names):
    return parse({**TREE, "only": list(names)})


COLUMN = {"heading": "h", **OURS}
WRONG = {
    "a naming in a row of another kind": (
        "tables.objects.rows.0.naming",
        "things",
        r"tables\.objects: rows\[0\]\.naming: expected one of namings in computed rows of a table of kind zeroshot and "
        "only there, got things",
    ),
    "a computed row without a naming": ("tables.names.rows.1.naming", None, r"rows\[1\]\.naming: .* got none"),
    "a naming of the paper's row": ("tables.names.rows.0.naming", "things", r"rows\[0\]\.naming: .* got things"),
    "an unknown naming of a row": (
        "tables.names.rows.1.naming",
        "thinks",
        r"tables\.names\.rows\[1\]\.naming: expected one of things, all, got 'thinks' \(nearest: 'things'\)",
    ),
    "an unknown naming of a column": (
        "figures.pictures.columns.2.naming",
        "al",
        r"figures\.pictures\.columns\[2\]\.naming: expected one of things, all, got 'al'",
    ),
    "a naming of a photograph": (
        "figures.pictures.columns.0.naming",
        "things",
        r"columns\[0\]: expected `naming` for named and truth only, got it for image",
    ),
    "an unknown naming of a truth": (
        "figures.pictures.columns.1.naming",
        "thing",
        r"columns\[1\]\.naming: .*nearest: 'things'",
    ),
    "an unknown naming of the worst": (
        "figures.pictures.worst.naming",
        "thing",
        r"figures\.pictures\.worst\.naming: .*nearest: 'things'",
    ),
    "an unknown naming of a bar": (
        "figures.bars.namings.Ours.naming",
        "thing",
        r"figures\.bars\.namings\.Ours\.naming: .*nearest: 'things'",
    ),
    "tokens decoded by an oracle": (
        "tables.oracle.rows.0.method",
        "tokens",
        r"tables\.oracle\.rows\[0\]\.method: expected a method for one image, got tokens, which is tokens",
    ),
    "objects of tokens": (
        "tables.objects.rows.0.method",
        "tokens",
        r"tables\.objects\.rows\[0\]\.method: expected a method for one image, got tokens",
    ),
    "names of a whole data set's clusters": (
        "tables.names.rows.1.method",
        "global",
        r"tables\.names\.rows\[1\]\.method: expected a method for one image or tokens, got global, which is global",
    ),
    "a data set to compare with that is not the table's": (
        "tables.names.compared",
        {"VOC": "others"},
        r"tables\.names: compared\.VOC: expected one of few, got 'others'",
    ),
    "a named column without a naming": (
        "figures.pictures.columns.4",
        {"show": "named", **COLUMN},
        r"columns\[4\]: expected `naming`, one of namings, for named, got none; add it",
    ),
    "a named column of nothing": (
        "figures.pictures.columns.4",
        {"show": "named", "heading": "h", "naming": "things"},
        r"columns\[4\]: expected `backbone` and `method` for eigenvectors, regions, named and proposals",
    ),
    "true objects of a method": (
        "figures.pictures.columns.4",
        {"show": "objects", **COLUMN},
        r"columns\[4\]: expected `backbone` and `method` for .* and neither for anything else",
    ),
    "regions of tokens": (
        "figures.pictures.columns.4",
        {"show": "regions", **COLUMN, "method": "tokens"},
        r"figures\.pictures\.columns\[4\]\.method: expected a method whose regions are kept, got tokens",
    ),
    "eigenvectors of masks": (
        "figures.pictures.columns.4",
        {"show": "eigenvectors", **COLUMN, "method": "maskcut"},
        r"columns\[4\]\.method: expected a method that answers vectors, got maskcut",
    ),
    "objects of a joint solve": (
        "figures.pictures.columns.4",
        {"show": "proposals", **COLUMN, "method": "global"},
        r"columns\[4\]\.method: expected a method for one image, got global",
    ),
    "the worst of a joint solve": (
        "figures.pictures.worst.method",
        "global",
        r"figures\.pictures\.worst\.method: expected a method for one image or tokens, got global",
    ),
    "bars of true labels": (
        "figures.bars.namings.Ours.method",
        "truth",
        r"figures\.bars\.namings\.Ours\.method: expected a method for one image or tokens, got truth",
    ),
    "no bars": ("figures.bars.namings", {}, r"figures\.bars\.namings: expected .*at least 1"),
    "no such photographs": (
        "figures.pictures.photographs",
        "clib",
        r"figures\.pictures\.photographs: .*got 'clib' \(nearest: 'clip'\)",
    ),
    "an impossible threshold": ("namings.things.threshold", 1.5, r"namings\.things\.threshold: .*got 1\.5"),
    "an unknown measure": ("namings.things.measure", "dot", r"expected 'probability' or 'cosine', got 'dot'"),
    "a class of other data": (
        "namings.things.classes",
        ["car", "tvmonitor"],
        r"namings\.things\.classes, on few: expected one of sky, .*, got 'tvmonitor'",
    ),
    "a phrase for none": (
        "namings.all.phrases",
        {"cars": "red car"},
        r"namings\.all\.phrases, on few: .*got 'cars' \(nearest: 'car'\)",
    ),
    "classes without names": (
        "datasets.few",
        {"kind": "photos"},
        r"namings\.things\.classes, on few: expected one of none defined, got 'car'",
    ),
    "no templates": ("namings.things.templates", [], r"namings\.things\.templates: expected .*at least 1"),
    "no classes compete": ("namings.things.most", 0, r"namings\.things\.most: .*got 0"),
    "five borders": ("proposals", {"borders": 5}, r"proposals\.borders: .*got 5"),
    "a misspelt setting": ("proposals", {"overlop": 0.5}, r"proposals: unknown key 'overlop' \(nearest: 'overlap'\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_helpful_line(case):
    path, value, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        parse(changed(path, value))
    assert "\n" not in str(caught.value)


def test_figures_of_pictures_need_some_backbone():
    columns = [{"show": "objects", "heading": "h"}]
    figure = {**FIGURE, "kind": "pictures", "columns": columns}
    with pytest.raises(InputError, match="or a backbone as `photographs`, got none; add one"):
        parse({**TREE, "figures": {"objects": figure}})
    parse({**TREE, "figures": {"objects": {**figure, "photographs": "dino"}}})


class TestQueries:
    CONFIG = parse(TREE)

    def test_named_are_tables_and_figures_once_each_in_order(self):
        assert self.CONFIG.named() == [
            ("few", "clip", "exact", "things"),
            ("few", "clip", "tokens", "things"),
            ("few", "clip", "exact", "all"),
            ("few", "clip", "final", "things"),  # the worst
            ("others", "clip", "exact", "things"),
        ]
        assert only("objects").named() == []

    def test_detected_are_tables_and_columns_of_proposals(self):
        assert self.CONFIG.detected() == [("few", "clip", "maskcut"), ("few", "dino", "final")]
        assert only("names", "bars").detected() == []

    def test_shown_have_regions_and_tokens_are_none(self):
        shown = self.CONFIG.shown()
        assert set(shown) == {
            ("few", "clip", "exact"),
            ("few", "clip", "final"),
            ("few", "clip", "maskcut"),
            ("few", "dino", "exact"),
            ("few", "dino", "final"),
            ("others", "clip", "exact"),
        }
        assert len(shown) == len(set(shown))
        assert self.CONFIG.is_of_tokens("tokens")
        assert not self.CONFIG.is_of_tokens("final")
        assert only("names").shown() == [("few", "clip", "exact")]

    def test_features_hold_the_space_of_texts_where_something_is_named(self):
        assert self.CONFIG.keeps_joint("few", "clip")
        assert self.CONFIG.keeps_joint("others", "clip")
        assert not self.CONFIG.keeps_joint("few", "dino")  # of which objects are asked only
        assert not only("names").keeps_joint("others", "clip")
        assert not only("objects").keeps_joint("few", "clip")

    def test_a_row_on_some_data_sets_is_named_on_these(self):
        tree = changed("tables.names.datasets", ["few", "others"])
        tree["tables"]["names"]["rows"][1]["datasets"] = ["others"]
        found = parse({**tree, "only": ["names"]}).named()
        assert found == [
            ("few", "clip", "tokens", "things"),
            ("others", "clip", "exact", "things"),
            ("others", "clip", "tokens", "things"),
        ]


class TestDefaults:
    def test_are_the_papers(self):
        naming = parse(TREE).namings["all"]
        assert (naming.measure, naming.threshold, naming.most, naming.classes) == ("probability", 0.7, None, None)

    def test_an_overlay_takes_a_naming_away_by_null(self):
        tree = {**TREE, "namings": {**TREE["namings"], "more": None}}
        assert list(parse(tree).namings) == ["things", "all"]

    def test_the_papers_data_sets_may_be_held_against_ours(self):
        table = parse(changed("tables.names.compared", {"VOC": "few", "COCO": None})).tables["names"]
        assert table.compared == {"VOC": "few"}


def test_the_shipped_configuration_has_both_tables_and_all_four_figures(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    config = configured([])
    assert {config.tables[name].kind for name in ("table7", "table8")} == {"zeroshot", "instances"}
    assert {config.figures[f"figure{n}"].kind for n in (11, 13, 14)} == {"pictures"}
    assert config.figures["figure12"].kind == "classes"
    assert config.figures["figure13"].worst is not None
    scored = {run[:3] for run in config.named()} | set(config.detected())
    assert {run for run in scored if not config.is_of_tokens(run[2])} <= set(config.shown())
