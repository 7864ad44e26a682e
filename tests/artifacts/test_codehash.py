"""A rule's code hash: moved by code, not by comments, and only by the modules that the rule uses."""

import pytest

from whatwhere.artifacts import codehash
from whatwhere.artifacts.codehash import code_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    files = {
        "a.py": '"""Text."""\nfrom whatwhere.b import thing\n\n\ndef f():\n    """Doc."""\n    return thing\n',
        "b.py": "thing = 1\n",
        "c.py": "def g():\n    import whatwhere.b\n    return whatwhere.b\n",
        "d/__init__.py": "from whatwhere.d import e\n",
        "d/e.py": "other = 2\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(codehash, "ROOT", tmp_path)
    codehash._tree.cache_clear()
    yield tmp_path
    codehash._tree.cache_clear()


def hashes():
    codehash._tree.cache_clear()
    return {name: code_hash(f"whatwhere.{name}") for name in "abcd"}


def moved(package, file, text):
    before = hashes()
    (package / file).write_text(text)
    after = hashes()
    return {name for name in before if before[name] != after[name]}


def test_comments_docstrings_and_layout_do_not_count(package):
    text = '"""Other text."""\nfrom whatwhere.b import thing  # why\n\ndef f():\n    # deeper\n    return (thing)\n'
    assert moved(package, "a.py", text) == set()


def test_code_counts_where_it_is_used(package):
    assert moved(package, "a.py", "def f():\n    return 2\n") == {"a"}
    assert moved(package, "d/e.py", "other = 3\n") == {"d"}


def test_imports_are_followed_also_inside_functions(package):
    assert moved(package, "b.py", "thing = 2\n") == {"a", "b", "c"}


def test_versions_of_computing_libraries_count(package, monkeypatch):
    (package / "b.py").write_text("import torch.nn\nthing = 1\n")
    before = hashes()
    monkeypatch.setattr(codehash, "_version", lambda name: "99")
    after = hashes()
    assert {name for name in before if before[name] != after[name]} == {"a", "b", "c"}


def test_a_modules_own_files_count(package):
    assert moved(package, "a.html.j2", "<p>") == {"a"}
    assert moved(package, "a.html.j2", "<p></p>") == {"a"}
    (package / "a_files").mkdir()
    assert moved(package, "a_files/style.css", "p {}") == {"a"}


def test_one_solver_does_not_touch_the_other():
    used = {
        kind: code_hash("whatwhere.stages.vectors", f"whatwhere.method.solve.{kind}") for kind in ("exact", "gradient")
    }
    assert used["exact"] != used["gradient"]
    codehash._tree("whatwhere.method.solve")
    assert "whatwhere.method.solve.gradient" not in codehash._tree("whatwhere.method.solve")[1]


@pytest.fixture
def kept(package, tmp_path, monkeypatch):
    """The file in which answers are kept, of processes that begin anew each time they ask."""
    monkeypatch.chdir(tmp_path)

    def anew():
        codehash._asked.clear()
        codehash._kept.cache_clear()
        return hashes()

    yield anew
    codehash._asked.clear()
    codehash._kept.cache_clear()


def test_what_was_kept_is_not_parsed_again_and_is_the_same(kept, package, monkeypatch):
    before = kept()
    codehash.keep()
    real, parsed = codehash._parse, []
    monkeypatch.setattr(codehash, "_parse", lambda text: parsed.append(text) or real(text))
    assert kept() == before
    assert not parsed
    (package / "b.py").write_text("thing = 2\n")
    after = kept()
    assert parsed == ["thing = 2\n"]
    assert {name for name in before if before[name] != after[name]} == {"a", "b", "c"}


def test_a_kept_file_that_is_damaged_counts_for_nothing(kept):
    before = kept()
    codehash.keep()
    whole = codehash.KEPT.read_bytes()
    for place in range(0, len(whole), 7):
        codehash.KEPT.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert kept() == before
    codehash.KEPT.write_bytes(whole[: len(whole) // 2])
    assert kept() == before


def test_where_nothing_can_be_kept_all_is_parsed(kept, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(codehash, "KEPT", tmp_path / "file" / "code.json")
    before = kept()
    codehash.keep()
    assert kept() == before
