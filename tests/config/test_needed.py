"""What a run depends on: the entries that its tables and figures ask for, and no claim about what it does not hold."""

from pathlib import Path

import pytest
import yaml

from whatwhere.artifacts.leaves import leaves
from whatwhere.config import parse
from whatwhere.config.needed import used
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
