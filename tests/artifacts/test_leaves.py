"""Settings as values with their paths: taken apart and put together again they are the same, and a change is one."""

from whatwhere.artifacts.leaves import LETTERS, leaves, tree_of

ROWS = [{"name": "a" * LETTERS, "k": number} for number in range(3)]
TREE = {
    "run": "a",
    "only": None,
    "methods": {"a.b": {"layers": ["x", "y"], "none": [], "empty": {}}},
    "tables": {"one": {"rows": ROWS, "title": "t"}},
}


def test_what_was_taken_apart_is_put_together():
    assert tree_of(leaves(TREE)) == TREE


def test_what_is_short_stays_together():
    assert [leaf[:-1] for leaf in leaves(TREE)] == [
        ("run",),
        ("only",),
        ("methods",),
        *(("tables", "one", "rows", number, key) for number in range(3) for key in ("name", "k")),
        ("tables", "one", "title"),
    ]
    assert all(len(repr(leaf)) < 2 * LETTERS for leaf in leaves(TREE))


def test_a_change_is_one_value():
    table = {"rows": [*ROWS[:2], {**ROWS[2], "k": 7}], "title": "t"}
    changed = {**TREE, "tables": {"one": table}}
    assert {repr(value) for value in leaves(TREE)} ^ {repr(value) for value in leaves(changed)} == {
        "('tables', 'one', 'rows', 2, 'k', 2)",
        "('tables', 'one', 'rows', 2, 'k', 7)",
    }
