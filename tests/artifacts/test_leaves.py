"""Settings as single values: taken apart and put together again they are the same, and a change is one of them."""

from whatwhere.artifacts.leaves import leaves, tree_of

TREE = {
    "run": "a",
    "only": None,
    "methods": {"a.b": {"layers": ["x", "y"], "none": [], "empty": {}}},
    "rows": [{"k": 1}],
}


def test_what_was_taken_apart_is_put_together():
    assert tree_of(leaves(TREE)) == TREE
    assert ("methods", "a.b", "layers", 1, "y") in list(leaves(TREE))


def test_a_change_is_one_value():
    changed = {**TREE, "rows": [{"k": 2}]}
    assert {repr(value) for value in leaves(TREE)} ^ {repr(value) for value in leaves(changed)} == {
        "('rows', 0, 'k', 1)",
        "('rows', 0, 'k', 2)",
    }
