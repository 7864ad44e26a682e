"""What a run depends on: the entries that its tables and figures ask for, and no claim about what it does not hold."""

from pathlib import Path

import pytest
import yaml

from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.leaves import leaves
from whatwhere.config import parse
from whatwhere.config.needed import Explored, cautions, crops, explored, out_of_depth, unit_rows, unlike_rows, used
from whatwhere.config.overlay import BASE, PARTS, merged

ROOT = Path(__file__).parents[2]
SHIPPED = merged(*(yaml.safe_load((ROOT / name).read_text()) for name in (BASE, *PARTS)))
OWN = {"kind": "oracle", "datasets": ["scenes"], "backbones": ["zoo-dino"], "methods": ["exact", "final"]}


def of_one(**changes):
    return parse(merged(SHIPPED, {"only": ["mine"], "tables": {"mine": OWN}}, changes))


def test_a_table_of_ones_own_is_all_that_its_run_holds():
    found = used(of_one())
    names = {section: list(found[section]) for section in ("datasets", "views", "backbones", "methods", "tables")}
    assert names == {
        "datasets": ["scenes"],
        "views": ["native"],
        "backbones": ["zoo-dino"],
        "methods": ["exact", "final"],
        "tables": ["mine"],
    }
    assert found["claims"] == []
    assert not {"zoo", "segments", "proposals", "namings"} & set(found)


def test_claims_stay_with_the_tables_that_they_are_about():
    found = used(parse({**SHIPPED, "only": ["table2"]}))
    assert found["claims"]
    assert {claim["table"] for claim in found["claims"]} == {"table2"}
    assert len(used(parse(SHIPPED))["claims"]) == len(SHIPPED["claims"])


@pytest.mark.parametrize("shown", [*SHIPPED["tables"], *SHIPPED["figures"], None])
def test_what_is_used_is_a_configuration_by_itself(shown):
    """Nothing is missing in it, and its own used part is itself."""
    config = parse({**SHIPPED, "only": shown and [shown]})
    found = used(config)
    again = used(parse(found))
    assert again == found
    assert parse(found).tables == config.tables


def test_a_changed_setting_is_the_one_value_that_differs():
    before, after = ({repr(leaf) for leaf in leaves(used(of_one(**changes)))} for changes in ({}, {"bootstrap": 5}))
    assert before ^ after == {"('bootstrap', 1000)", "('bootstrap', 5)"}


def test_what_is_not_used_may_change():
    other = {"methods": {"gradient": {"steps": 3}}, "zoo": {"scenes": 7}, "proposals": {"most": 3}}
    assert used(of_one()) == used(of_one(**other))


def test_photographs_seen_by_the_zoo_and_what_a_view_cuts_away_are_said():
    config = parse({**SHIPPED, "only": ["figure3_photos"]})
    assert set(crops(config)) == {("photos", "photo"), ("photos", "photo-half"), ("photos", "photo-336")}
    backbones = {backbone for _, backbone in out_of_depth(config)}
    assert backbones == {name for name in backbones if SHIPPED["backbones"][name]["model"].startswith("zoo/")} != set()
    first = cautions(config)[0]
    assert first.startswith("photos through ")
    assert all(name in first for name in backbones)
    assert "photos through view photo: of each image the square in its middle" in cautions(config)


def test_of_rendered_scenes_there_is_nothing_to_say():
    assert cautions(of_one()) == cautions(parse({**SHIPPED, "only": ["table4", "figure5_scenes"]})) == []


def test_untrained_ones_of_the_zoo_know_nothing_to_be_cautioned_of():
    own = {**OWN, "datasets": ["photos"], "backbones": ["untrained-vit", "timed-vits16"]}
    assert out_of_depth(parse(merged(SHIPPED, {"only": ["mine"], "tables": {"mine": own}}))) == []


PHOTOS = {"kind": "pictures", "dataset": "photos", "images": 4}
SEEN = {**PHOTOS, "columns": [{"show": "regions", "heading": "x", "backbone": "dinov2-photo", "method": "exact"}]}
NAMED = SHIPPED["figures"]["figure1"]["ids"]


@pytest.mark.parametrize(
    ("only", "changes", "expected", "count"),
    [
        (None, {}, Explored("dinov2-photo", 11, tuple(NAMED), None), 11),
        (["figure1"], {}, Explored("dinov2-photo", 0, tuple(NAMED), None), 6),
        (["mine"], {}, Explored("dinov2-photo", 4, (), None), 4),
        (["mine"], {"explored": {"photos": {"images": 3}}}, Explored("dinov2-photo", 3, (), 3), 3),
        (["mine", "figure1"], {"explored": {"photos": {"images": 5}}}, Explored("dinov2-photo", 4, tuple(NAMED), 5), 5),
    ],
)
def test_pages_are_of_what_figures_show(only, changes, expected, count):
    config = parse(merged(SHIPPED, {"only": only, "figures": {"mine": SEEN}}, changes))
    assert explored(config) == {"photos": expected}
    assert explored(config)["photos"].count(11) == count
    assert config.keeps_values("photos", "dinov2-photo")
    assert cautions(config) == cautions(parse(merged(config.model_dump(mode="json"), {"explored": {"photos": None}})))


def test_neither_a_table_nor_another_data_set_nor_eyes_that_are_not_there_make_pages():
    of_table = {"tables": {"mine": {**OWN, "datasets": ["photos"], "backbones": ["dinov2-photo"]}}}
    of_zoo = {"figures": {"mine": {**SEEN, "columns": [{**SEEN["columns"][0], "backbone": "zoo-dino-photo"}]}}}
    for only, changes, said in (
        ("mine", of_table, 0),
        ("figure3_scenes", {}, 0),
        ("mine", of_zoo, 1),
        ("mine", {**of_zoo, "explored": {"photos": None}}, 0),
    ):
        config = parse(merged(SHIPPED, {"only": [only]}, changes))
        assert explored(config) == {}
        assert "explored" not in used(config)
        assert not config.keeps_values("photos", "dinov2-photo")
        words = "photos: no pages to explore, as nothing here asks for features of dinov2-photo"
        assert cautions(config).count(words) == said


WIDE = {"kind": "global", "vectors": 20, "time": 0, "graph": {"inter": 3}}


def taking(**changes):
    """A table of three methods: one takes the columns of a fourth, which no row asks for."""
    methods = {
        "wide": WIDE,
        "taken": {**WIDE, "of": "wide", "vectors": 5, "time": 2, **changes},
        "plain": {**WIDE, "unit_rows": False},
    }
    table = {**OWN, "kind": "matching", "datasets": ["scenes-set"], "methods": ["taken", "plain", "final", "position"]}
    return parse(merged(SHIPPED, {"only": ["mine"], "tables": {"mine": table}, "methods": methods}))


def test_a_solve_whose_columns_are_taken_comes_before_those_that_take_them():
    config = taking()
    methods = [method for *_, method in config.joint()]
    assert methods == ["wide", "taken", "plain", "final", "position"]
    assert set(used(config)["methods"]) == set(methods)


def test_rows_are_brought_to_unit_length_as_the_method_or_the_run_says():
    config = taking()
    found = {name: unit_rows(config, name) for name in ("taken", "plain", "final", "position")}
    assert found == {"taken": True, "plain": False, "final": True, "position": False}
    assert unlike_rows(config, config.tables["mine"]) == ["plain"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"of": "wied"}, r"methods\.taken\.of: .*got 'wied' \(nearest: 'wide'\)"),
        (
            {"of": "final"},
            r"methods\.taken\.of: expected a method of kind global of the same graphs.* got final; correct",
        ),
        ({"of": "taken"}, r"got taken; correct"),
        ({"vectors": 21}, r"as many vectors, got wide"),
        ({"pathway": "qk"}, r"of the same graphs"),
        ({"layers": ["blocks.0.*"]}, r"of the same graphs"),
        ({"graph": {"inter": 4}}, r"of the same graphs"),
        ({"weights": "trace"}, r"weights equal"),
    ],
)
def test_columns_of_what_has_none_to_give_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        taking(**changes)
