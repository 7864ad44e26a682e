"""What another run made of the same is linked, verified; whatever else is made."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from whatwhere.artifacts.once import once
from whatwhere.artifacts.store import Store, create

SETTINGS = {"values": False, "seed": 0}


def task(root, run="a", *, name="x", content=b"images", code="1", **settings):
    """A task of a run as a script is told it, with an input of some content."""
    given, place = root / run / "input.bin", root / run / "features" / "set"
    given.parent.mkdir(exist_ok=True)
    given.write_bytes(content)
    return SimpleNamespace(
        input=[str(given)],
        output=[str(place / f"{name}.json"), str(place / f"{name}.words.txt")],
        log=[str(root / run / "logs" / "features" / f"{name}.log")],
        params=SimpleNamespace(settings={**SETTINGS, **settings}, code=code),
    )


def made(given, number=1.0):
    """Whether the task's own work was done: a store that holds a number, and words beside it."""
    manifest, words = map(Path, given.output)
    calls = []

    def make():
        calls.append(manifest)
        with create(manifest, {}, {}, {"image": ["one"]}) as store:
            store.array("x", (1, 4), "float32", ("image", "token"))[:] = number
        words.write_text(f"{number}")

    other = once(given, make, outputs=2, more=("values",))
    assert bool(calls) == (other is None)
    assert float(words.read_text()) == Store(manifest).read("x")[0, 0]
    return bool(calls)


def files(given):
    """The files of a task's store by name."""
    store = Path(given.output[0]).with_suffix(".zarr")
    return {str(path.relative_to(store)): path for path in store.rglob("*") if path.is_file()}


def test_the_same_is_made_once_and_linked(tmp_path, capsys):
    first, second = task(tmp_path), task(tmp_path, "b")
    assert made(first)
    assert not made(second, number=2)
    assert "linked: " in capsys.readouterr().err
    ours, theirs = files(first), files(second)
    assert ours.keys() == theirs.keys()
    assert all(ours[name].samefile(theirs[name]) for name in ours)
    assert Path(first.output[0]).read_bytes() == Path(second.output[0]).read_bytes()
    assert not made(task(tmp_path, "c"), number=3)


OTHER = {
    "an input": {"content": b"other images"},
    "code": {"code": "2"},
    "a setting": {"seed": 1},
    "the name": {"name": "y"},
    "more that is kept": {"values": True},
}


@pytest.mark.parametrize("what", OTHER)
def test_of_something_else_it_is_made(tmp_path, what):
    assert made(task(tmp_path))
    assert made(task(tmp_path, "b", **OTHER[what]), number=2)


def test_what_has_more_serves_and_goes_on_serving(tmp_path):
    assert made(task(tmp_path, values=True))
    assert not made(task(tmp_path, "b"))
    assert not made(task(tmp_path, "c", values=True))


def test_either_run_may_be_taken_away(tmp_path):
    first, second = task(tmp_path), task(tmp_path, "b")
    assert made(first)
    assert not made(second)
    for path in files(first).values():
        path.unlink()
    Store(second.output[0]).verify()


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [damaged, Path.unlink])
def test_what_is_damaged_or_gone_is_made_anew(tmp_path, harm):
    first, second = task(tmp_path), task(tmp_path, "b")
    assert made(first)
    harm(max(files(first).values(), key=lambda path: path.parent.name == "c"))
    assert made(second, number=2)
    assert made(task(tmp_path, "c")) is False  # the second is whole


def test_without_links_it_is_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("another disk")

    first, second = task(tmp_path), task(tmp_path, "b")
    assert made(first)
    monkeypatch.setattr("os.link", refuse)
    assert not made(second)
    assert not any(path.samefile(files(first)[name]) for name, path in files(second).items())
    Store(second.output[0]).verify()


def test_it_is_no_older_than_its_inputs(tmp_path):
    """Or whoever compares times would make it again."""
    assert made(task(tmp_path))
    second = task(tmp_path, "b")
    assert not made(second)
    assert Path(second.output[0]).stat().st_mtime_ns >= Path(second.input[0]).stat().st_mtime_ns
