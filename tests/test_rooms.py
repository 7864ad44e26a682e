"""The house: rooms on floors, no import upstairs, no circle, tests beside what they test, words for what is public."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOUSE = ROOT / "src" / "whatwhere"
#: From the roof to the ground; a room asks only what lies below it. `zoo/training` is how the zoo's members were made.
FLOORS = (
    "app",
    "steps",
    "stages",
    "config",
    "zoo.training",
    "publish",
    "baselines",
    "evaluate",
    "method",
    "backbones",
    "zoo",
    "datasets",
    "scenes",
    "artifacts",
)


def module_of(file, house):
    parts = file.relative_to(house.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(house):
    return {module_of(file, house): file for file in sorted(house.rglob("*.py"))}


@cache
def arrows(house):
    """Module to the modules that it imports, anywhere in its code; `from package import module` asks for both."""
    known = modules(house)
    found = {}
    for name, file in known.items():
        asked = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name}: imports by its full name only"
                asked |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            if isinstance(node, ast.Import):
                asked |= {alias.name for alias in node.names}
        found[name] = sorted((asked & known.keys()) - {name})
    return found


def room(module):
    inner = module.partition(".")[2]
    return next((floor for floor in FLOORS if inner == floor or inner.startswith(f"{floor}.")), "")


def upstairs(found):
    """Every import of a room that does not lie below."""
    height = {floor: -number for number, floor in enumerate(FLOORS)}
    asked = [(a, b) for a, targets in found.items() for b in targets if room(a) and room(a) != room(b)]
    return [f"{a} -> {b}" for a, b in asked if not room(b) or height[room(b)] > height[room(a)]]


def test_a_dozen_rooms_and_a_door():
    entries = {path.name for path in HOUSE.iterdir() if path.name != "__pycache__"} - {"__init__.py", "steps.py"}
    assert len(entries) <= 12
    assert all((HOUSE / name).is_dir() for name in entries)
    assert {name.partition(".")[0] for name in FLOORS} == {*entries, "steps"}


def test_no_import_runs_up():
    assert upstairs(arrows(HOUSE)) == []


def test_no_files_import_each_other_in_a_circle():
    try:
        TopologicalSorter(arrows(HOUSE)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_an_arrow_up_and_a_circle_would_be_found(tmp_path):
    for name, text in {
        "method/walk.py": "def f():\n    from whatwhere.publish import tables\n",
        "publish/tables.py": "import whatwhere.method.walk\n",
        "publish/__init__.py": "",
        "method/__init__.py": "",
    }.items():
        file = tmp_path / "whatwhere" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    found = arrows(tmp_path / "whatwhere")
    assert upstairs(found) == [
        "whatwhere.method.walk -> whatwhere.publish",
        "whatwhere.method.walk -> whatwhere.publish.tables",
    ]
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()


def test_tests_lie_in_the_rooms_of_what_they_test():
    rooms = {path.name for path in HOUSE.iterdir() if path.is_dir()} | {"workflow", "docs"}
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= rooms


def test_public_functions_say_what_they_do():
    silent = []
    for name, file in modules(HOUSE).items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                silent.append(f"{name}:{node.lineno} {node.name}")
    assert silent == []
