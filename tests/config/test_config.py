"""The configuration: what is wrong is named by path, with what was expected and the nearest right name."""

import copy
import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from whatwhere.artifacts.errors import InputError
from whatwhere.config import parse
from whatwhere.config.claims import references
from whatwhere.config.described import schema
from whatwhere.config.overlay import BASE, PARTS, configured, configured_run, merged

ROOT = Path(__file__).parents[2]
FILES = {str(name): yaml.safe_load((ROOT / name).read_text()) for name in (BASE, *PARTS)}
SHIPPED = merged(*FILES.values())


def changed(path, value):
    tree = copy.deepcopy(SHIPPED)
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return tree


WRONG = {
    "unknown key": (["sede"], 1, r"unknown key 'sede' \(nearest: 'seed'\)"),
    "unknown inner key": (["regions", "cluster"], 4, r"regions: unknown key 'cluster' \(nearest: 'clusters'\)"),
    "unknown key of a kind": (
        ["methods", "gradient", "step"],
        4,
        r": methods\.gradient: unknown key 'step' \(nearest: 'steps'\)",
    ),
    "wrong type": (["seed"], "one", r"seed: expected a valid integer.*got 'one'"),
    "out of range": (["methods", "gradient", "learning_rate"], -1, r"learning_rate: expected .*greater than 0, got -1"),
    "wrong choice": (["unreadable"], "ignore", r"unreadable: expected 'stop' or 'skip', got 'ignore'"),
    "wrong kind": (
        ["datasets", "scenes", "kind"],
        "scene",
        r"datasets\.scenes\.kind: .*got 'scene' \(nearest: 'scenes'\)",
    ),
    "passes larger than files": (
        ["features", "batch_images"],
        17,
        r"features: batch_images: expected at most run_images, 16, got 17; raise both",
    ),
    "no such view": (["backbones", "untrained-vit", "view"], "nativ", r"view: .*got 'nativ' \(nearest: 'native'\)"),
    "no such backbone": (
        ["tables", "table1", "rows", 0, "backbone"],
        "zoo-difusion",
        r"tables\.table1\.rows\[0\]\.backbone: .*nearest: 'zoo-diffusion'",
    ),
    "a K that no image has": (
        ["tables", "table1", "clusters"],
        12,
        r"tables\.table1\.clusters: expected one of regions\.candidates, got 12",
    ),
    "clusters to choose by, and nothing to choose": (
        ["tables", "table1", "rows", 0, "chosen_clusters"],
        10,
        r"tables\.table1\.rows\[0\].*expected `chosen_clusters` beside `among` only, got it alone",
    ),
    "no such method": (
        ["figures", "figure3_scenes", "columns", 1, "method"],
        "exakt",
        r"figures\.figure3_scenes\.columns\[1\]\.method: .*nearest: 'exact'",
    ),
    "no such data set of a table": (["tables", "table2", "datasets"], ["scene"], r"datasets: .*nearest: 'scenes'"),
    "regions of nothing": (
        ["figures", "figure10", "columns", 2],
        {"show": "regions", "heading": "h"},
        r"columns\[2\]: expected `backbone` and `method` for eigenvectors, regions, named and proposals",
    ),
    "too few labels": (
        ["tables", "table6", "rows", 0, "labels"],
        ["SD"],
        r"rows\[0\]\.labels: expected 2 \(Model, Solver\), got \('SD',\)",
    ),
    "unset variable": (
        ["datasets", "scenes"],
        {"kind": "camvid", "root": "$WHATWHERE_NOT_SET/camvid"},
        r"datasets\.scenes\.root: expected the environment variable WHATWHERE_NOT_SET to be set",
    ),
    "a joint solver decoded image by image": (
        ["tables", "table1", "rows", 0, "method"],
        "what",
        r"tables\.table1\.rows\[0\]\.method: expected a method for one image, got what, which is global",
    ),
    "one image's solver over a data set": (
        ["tables", "table3", "rows", 12, "method"],
        "exact",
        r"table3\.rows\[12\]\.method: expected a solver for a data set, .* got exact, which is exact",
    ),
    "a data set that is not the table's": (
        ["tables", "table3", "rows", 12, "datasets"],
        ["scenes"],
        r"table3: rows\[12\]\.datasets: expected one of scenes-set, got 'scenes'",
    ),
    "evidence scenes trained on": (
        ["zoo", "evidence", "first_seed"],
        1_015_900,
        r"zoo: expected evidence.first_seed away from the training scenes \(seeds 1000000-1015999\), got 1015900",
    ),
    "no such member of the zoo": (["zoo", "recipes"], {"dyno": {}}, r"zoo\.recipes"),
    "row without reason": (
        ["tables", "table1", "rows", 0],
        {"labels": ["m", "s", "d"]},
        r"rows\[0\]|rows\.0",
    ),
    "words where names are asked for": (
        ["only"],
        "table1",
        r": only: expected a list, got 'table1'; write \[table1\]$",
    ),
    "keys where names are asked for": (
        ["only"],
        {"table1": 1},
        r": only: expected a list, got \{'table1': 1\}; correct",
    ),
    "a name of no words": (["only"], [["table1"]], r": only\[0\]: expected words, got \['table1'\]"),
    "words where entries are": (["datasets"], "x", r": datasets: expected keys and values, got 'x'; correct it"),
    "words where tables are": (["tables"], "x", r": tables: expected keys and values, got 'x'"),
    "words where an entry is": (
        ["datasets", "x"],
        "photos",
        r": datasets\.x: expected .*, got 'photos'; write \{kind: …\}",
    ),
    "words where a backbone is": (
        ["backbones", "x"],
        "zoo/dino",
        r": backbones\.x: expected keys and values, got 'zoo/",
    ),
    "one where there may be several": (
        ["tables", "table1", "datasets"],
        "scenes",
        r": tables\.table1\.datasets: expected a list, got 'scenes'; write \[scenes\]",
    ),
    "none where there must be one": (
        ["regions", "candidates"],
        [],
        r": regions\.candidates: expected at least 1 in it",
    ),
    "a number for words": (
        ["tables", "table1", "title"],
        3,
        r"table1\.title: expected words, got 3; write '3', in quotes",
    ),
    "neither of two types": (["regions", "clusters"], "ten", r": regions\.clusters: .* integer or 'auto', got 'ten'"),
    "a choice misspelt": (["views", "native", "protocol"], "squar", r"protocol: .*got 'squar' \(nearest: 'square'\)"),
    "no number": (["seed"], None, r": seed: expected a valid integer, got null; give it one, or leave the key out"),
    "no path": (["datasets", "x"], {"kind": "folder", "root": 3}, r": datasets\.x\.root: expected a path, got 3"),
    "neither true nor false": (["features", "keep"], "maybe", r"features\.keep: expected true or false, got 'maybe'"),
    "a run of two words": (["run"], "my run", r": run: expected a name of letters, .*, got 'my run'; write my-run$"),
    "a name of two words": (["datasets", "my set"], {"kind": "photos"}, r": datasets\.my set: .*; write my-set$"),
    "a name that is a number": (["methods", 3], {"kind": "final"}, r": methods\.3: expected words, got 3; write '3'"),
    "the zoo's folder": (["run"], "zoo", r": run: expected another name, got 'zoo'"),
    "no address": (["dask"], "host", r": dask: expected a scheduler's address as tcp://host:8786, got 'host'; correct"),
    "no kind": (
        ["methods", "mine"],
        {"vectors": 3},
        r": methods\.mine\.kind: expected one of exact, .*, got none; add the",
    ),
    "rows twice": (
        ["tables", "table1", "backbones"],
        ["zoo-dino"],
        r"table1: expected `rows`, or .* got both; leave one",
    ),
    "taken away, and needed": (
        ["datasets", "scenes"],
        None,
        r": datasets\.scenes: expected it to stay, for tables\.table1, tables\.table2, .* and \d+ more, got null; keep",
    ),
    "a view taken away": (
        ["views", "native"],
        None,
        r": views\.native: expected it to stay, for backbones\.zoo-dino, got",
    ),
    "no such data set to explore": (
        ["explored"],
        {"photo": {"backbone": "dinov2-photo"}},
        r": explored: expected one of scenes, photos, .*got 'photo' \(nearest: 'photos'\)",
    ),
    "no such eyes to explore through": (
        ["explored", "photos", "backbone"],
        "dinov2-fotos",
        r": explored\.photos\.backbone: expected one of dinov2, .*got 'dinov2-fotos' \(nearest: 'dinov2-photo'\)",
    ),
    "a naming taken away": (["namings", "things"], None, r": namings\.things: expected it to stay, for tables\.table7"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_key_is_one_helpful_line(case):
    path, value, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        parse(changed(path, value))
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named():
    tree = copy.deepcopy(SHIPPED)
    del tree["views"]
    with pytest.raises(InputError, match="views: expected a value, got none"):
        parse(tree)


OWN = {"kind": "oracle", "datasets": ["scenes"], "backbones": ["zoo-dino", "zoo-mae"], "methods": ["exact", "final"]}


@pytest.mark.parametrize(
    ("changes", "keys"),
    [
        ({"datasets": {"d": {"kind": "folder"}}, "backbones": {"b": {}}}, ["datasets.d.root", "b.model", "b.view"]),
        ({"tables": {"mine": {"kind": "oracle"}}}, ["mine.datasets", "tables.mine.backbones", "tables.mine.methods"]),
        ({"tables": {"mine": {"kind": "oracle", "methods": ["exact"]}}}, ["mine.datasets", "mine.backbones"]),
        ({"tables": {"mine": {**OWN, "backbones": [], "methods": []}}}, ["mine.backbones", "mine.methods"]),
        ({"tables": {"mine": {}}}, ["mine.kind (one of oracle, ", "mine.datasets", "mine.backbones", "mine.methods"]),
        ({"figures": {"f": {"kind": "pictures"}}}, ["figures.f.dataset", "figures.f.columns"]),
    ],
)  # fmt: skip
def test_all_missing_keys_are_named_at_once(changes, keys):
    with pytest.raises(InputError) as caught:
        parse(merged(SHIPPED, changes))
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(": expected values, got none; add the keys")
    assert all(key in said for key in keys), said
    assert said.count(", tables.mine.methods") <= 1


def test_a_fault_beside_missing_keys_is_counted():
    with pytest.raises(InputError, match=r": datasets\.x: expected keys and values, .* \(and 3 more\)$"):
        parse(merged(SHIPPED, {"datasets": {"x": "photos"}, "tables": {"mine": {"kind": "oracle"}}}))
    with pytest.raises(InputError, match=r": tables\.mine\.datasets: expected a value, .* \(and 1 more\)$"):
        parse(merged(SHIPPED, {"tables": {"mine": {"kind": "oracle", "backbones": "b", "methods": ["exact"]}}}))


def test_a_table_of_ones_own_is_four_keys():
    table = parse(merged(SHIPPED, {"only": ["mine"], "tables": {"mine": OWN}})).tables["mine"]
    labels = [(backbone, method) for backbone in OWN["backbones"] for method in OWN["methods"]]
    assert [row.labels for row in table.rows] == [(row.backbone, row.method) for row in table.rows] == labels
    assert (table.title, table.source, table.columns) == ("mine", "", ("Backbone", "Method"))


def test_a_table_of_names_is_five_keys():
    own = {**OWN, "kind": "zeroshot", "backbones": ["zoo-clip"], "namings": ["things"]}
    rows = parse(merged(SHIPPED, {"tables": {"mine": own}})).tables["mine"].rows
    assert [row.labels for row in rows] == [("zoo-clip", "exact", "things"), ("zoo-clip", "final", "things")]
    with pytest.raises(InputError, match=r": tables\.mine: namings: expected one of namings .*, got none"):
        parse(merged(SHIPPED, {"tables": {"mine": {**own, "namings": []}}}))


def test_rows_of_a_shipped_table_give_way_to_ones_own():
    own = {**OWN, "rows": None, "columns": ["Model", "Way"]}
    assert len(parse(merged(SHIPPED, {"tables": {"table1": own}})).tables["table1"].rows) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"backbones": ["zoo-din"]},
            r": tables\.mine\.backbones: expected one of .*, got 'zoo-din' \(nearest: 'zoo-dino'\)",
        ),
        ({"methods": ["exakt"]}, r": tables\.mine\.methods: expected one of .*, got 'exakt' \(nearest: 'exact'\)"),
        ({"methods": ["what"]}, r": tables\.mine\.methods: expected a method for one image, got what, which is global"),
        ({"methods": "exact"}, r": tables\.mine\.methods: expected a list, got 'exact'; write \[exact\]"),
        ({"columns": ["Way"]}, r": tables\.mine: rows\[0\]\.labels: expected 1 \(Way\), got \('zoo-dino', 'exact'\)"),
    ],
)
def test_a_fault_of_a_table_of_ones_own_is_said_of_a_key_that_was_written(changes, words):
    with pytest.raises(InputError, match=words):
        parse(merged(SHIPPED, {"tables": {"mine": {**OWN, **changes}}}))


def test_a_figure_has_its_name_for_a_title():
    figure = {key: value for key, value in SHIPPED["figures"]["figure7"].items() if key != "title"}
    assert parse({**SHIPPED, "figures": {"mine": figure}}).figures["mine"].title == "mine"


def test_the_shipped_configuration_is_valid_and_frozen():
    config = parse(SHIPPED)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 2
    assert len(config.shown()) == len(set(config.shown())) > 0


def test_the_schema_is_current_and_accepts_the_shipped_configuration():
    written = (ROOT / "config" / "schema.json").read_text()
    assert written == schema(), "run: whatwhere schema > config/schema.json"
    validator = Draft202012Validator(json.loads(written))
    for tree in (SHIPPED, *FILES.values()):
        validator.validate(tree)
    assert not validator.is_valid(changed(["sede"], 1))
    validator.validate(merged(SHIPPED, {"tables": {"mine": OWN}}))


SIX = tuple(f"{measure} {kind}" for kind in ("box", "mask") for measure in ("AP50", "AP", "AR100"))
FOUR = ("COCO-Stuff-27 greedy", "COCO-Stuff-27 Hungarian", "Cityscapes greedy", "Cityscapes Hungarian")
PAPER = {
    "table1": [0.82, 0.78, 0.57, 0.45, 0.78, 0.58, 0.74, 0.73, 0.64, 0.74, 0.62, 0.48],
    "table2": [0.75, 0.66, 0.76, 0.80, 0.75, 0.70, 0.77, 0.75, 0.74, 0.69],
    "table3": [
        *({"COCO-Stuff-27": 4.4}, {"COCO-Stuff-27": 6.7, "Cityscapes": 6.1}, {"COCO-Stuff-27": 8.9}),
        *({"COCO-Stuff-27": 9.8, "Cityscapes": 7.4}, {"COCO-Stuff-27": 13.8, "Cityscapes": 12.3}),
        *({"COCO-Stuff-27": 14.4}, {"COCO-Stuff-27": 16.4}, {"COCO-Stuff-27": 24.6, "Cityscapes": 18.4}),
        *({"COCO-Stuff-27": 26.8, "Cityscapes": 18.2}, {"COCO-Stuff-27": 28.2, "Cityscapes": 21.0}),
        *({"COCO-Stuff-27": 25.4, "Cityscapes": 16.2}, {"COCO-Stuff-27": 27.1, "Cityscapes": 16.9}),
    ],
    "table4": [
        dict(zip(FOUR, numbers, strict=True))
        for numbers in (
            *((9.2, 8.6, 12.4, 8.1), (13.7, 13.0, 13.3, 8.7), (26.6, 24.0, 15.8, 14.9), (27.0, 26.5, 16.6, 18.2)),
            *((12.4, 10.9, 10.91, 9.7), (25.4, 23.2, 16.2, 11.4)),
        )
    ],
    "table5": [
        *({"MSE": 3.2, "mIoU": 6.0}, {"MSE": 72.0}, {"MSE": 42.4, "mIoU": 6.9}),
        *({"MSE": 43.1, "mIoU": 5.1}, {"MSE": 19.5, "mIoU": 10.1}),
    ],
    "table6": [67, 155, 40, 54],
    "table7": [0.53, 0.25, 0.50],
    "table8": [
        dict(zip(SIX, numbers, strict=True))
        for numbers in (
            *((5.2, 2.6, 5.0, 4.9, 2.0, 4.4), (4.7, 1.7, 8.1, 3.6, 1.2, 6.9), (6.0, 2.9, 8.1, 4.9, 2.2, 6.9)),
            (4.0, 1.9, 11.2, 4.0, 1.5, 8.2),
        )
    ],
}
PAPER["table8"][3] = {"#Masks": 13, **PAPER["table8"][3]}


def of_paper(numbers):
    """Every number of the paper once, with the column it stands in: rows for one data set have their part of a row."""
    found = [n if isinstance(n, dict) else {"": n} for n in numbers if n is not None]
    return {(column, number) for one in found for column, number in one.items()}


@pytest.mark.parametrize("table", PAPER)
def test_every_row_of_the_papers_table_is_there(table):
    """Beside one row of ours or more (`of` says whose it is), or by itself with a reason."""
    rows = SHIPPED["tables"][table]["rows"]
    found = [row["paper"] for row in rows if row.get("paper") is not None]
    assert of_paper(found) == of_paper(PAPER[table])
    assert all(row.get("of") or table in ("table2", "table6") for row in rows if "paper" in row and "backbone" in row)


def test_an_entry_is_taken_away_by_null():
    config = parse(changed(["tables", "table2"], None))
    assert list(config.tables) == ["table1", "table3", "table4", "table5", "table6", "table7", "table8"]


def test_only_some_tables_and_figures_can_be_asked_for():
    config = parse({**SHIPPED, "only": ["table2", "figure7"]})
    assert (list(config.tables), list(config.figures)) == (["table2"], ["figure7"])
    assert {method for *_, method in config.shown()} <= {row.method for row in config.tables["table2"].rows}
    with pytest.raises(InputError, match=r"only: expected one of table1, .* got 'tabel2' \(nearest: 'table2'\)"):
        parse({**SHIPPED, "only": ["tabel2"]})


def overlaid(name):
    """The shipped configuration under an overlay, merged as Snakemake merges them."""
    from snakemake.utils import update_config

    tree = copy.deepcopy(SHIPPED)
    update_config(tree, yaml.safe_load((ROOT / "config" / name).read_text()))
    return tree


def test_the_papers_overlay_has_every_row_and_no_backbone_of_ours():
    config = parse(overlaid("paper.yaml"))
    for name, expected in PAPER.items():
        numbers = of_paper(row.paper for row in config.tables[name].rows)
        assert numbers == of_paper(expected), name
    for name in ("table1", "table2"):
        assert all(row.backbone and row.method for row in config.tables[name].rows)
    assert {backbone.model for backbone in config.backbones.values()} == {
        "stable-diffusion-v1-4",
        "clip-vit-b16",
        "dino-vits16",
        "mae-vitb16",
        "dino-vitb8",
        "stego",
        "groupvit",
    }
    assert set(config.datasets) == {"voc", "voc-200", "coco", "cocostuff27", "cityscapes"}


def without_a_row(config):
    """What claims ask for on tables that are there, and that no row gives."""
    for claim in config.claims:
        table = config.tables.get(claim.table)
        for where, asked in references(claim) if table else ():
            wanted = (asked.backbone, asked.method, asked.naming, asked.crf)
            fitting = [row for row in table.rows if (row.backbone, row.method, row.naming, row.crf) == wanted]
            on = {dataset for row in fitting for dataset in row.datasets or table.datasets}
            if not fitting or (asked.dataset and asked.dataset not in on):
                yield f"{claim.says} {where}"


@pytest.mark.parametrize("overlay", [None, "paper.yaml", "real.yaml", "beyond.yaml", "beyond-sets.yaml"])
def test_shipped_claims_compare_rows_that_there_are(overlay, monkeypatch):
    monkeypatch.setenv("WHATWHERE_DATA", "/data")
    config = parse(overlaid(overlay) if overlay else SHIPPED)
    assert config.claims
    assert not list(without_a_row(config))


@pytest.mark.parametrize(
    ("where", "changes", "words"),
    [
        ("ours", {"method": "exakt"}, r"ours.method: .*got 'exakt' \(nearest: 'exact'\)"),
        ("than", {"backbone": "zoo-dion"}, r"than\[0\].backbone: .*got 'zoo-dion' \(nearest: 'zoo-dino'\)"),
        ("than", {"naming": "thing"}, r"than\[0\].naming: .*got 'thing' \(nearest: 'things'\)"),
        ("than", {"dataset": "scene"}, r"than\[0\].dataset: .*got 'scene' \(nearest: 'scenes'\)"),
        (
            "ours",
            {"over": {"backbone": "zoo-dino", "method": "nothing"}},
            r"ours.over.method: .*got 'nothing'",
        ),
    ],
)
def test_a_claim_about_a_name_that_there_is_not_is_refused(where, changes, words):
    number = {"backbone": "zoo-dino", "method": "exact"}
    sides = {"ours": number, "than": number, where: {**number, **changes}}
    said = {"says": "s", "source": "p", "table": "table1", "quantity": "mIoU", "better": "higher"}
    claim = {**said, "comparisons": [{"ours": sides["ours"], "than": [sides["than"]]}]}
    with pytest.raises(InputError, match=r"claims\[0\].comparisons\[0\]." + words):
        parse({**SHIPPED, "claims": [claim]})


def test_an_overlay_may_take_rows_away_that_claims_compare():
    tree = copy.deepcopy(SHIPPED)
    tree["tables"]["table1"]["rows"] = tree["tables"]["table1"]["rows"][:1]
    assert list(without_a_row(parse(tree)))  # for the report to say


def test_the_overlay_for_a_million_makes_one_figure_by_a_codebook(monkeypatch):
    monkeypatch.setenv("WHATWHERE_PHOTOS", "/photos")
    config = parse(overlaid("scale.yaml"))
    assert (list(config.tables), list(config.figures)) == ([], ["classes"])
    assert config.joint() == [("photographs", "set-dinov2", "codebook")]
    assert config.methods["codebook"].kind == "landmarks"
    assert str(config.datasets["photographs"].root) == "/photos"


def test_the_real_overlay_reads_its_root_from_the_environment(monkeypatch):
    monkeypatch.setenv("WHATWHERE_DATA", "/data")
    config = parse(overlaid("real.yaml"))
    assert str(config.datasets["camvid"].root) == "/data/camvid"
    assert config.tables["table1"].datasets == ("voc", "bsds500", "camvid")
    monkeypatch.delenv("WHATWHERE_DATA")
    with pytest.raises(InputError, match="WHATWHERE_DATA to be set"):
        parse(overlaid("real.yaml"))


def test_what_a_person_edits_is_short_and_the_rest_is_data():
    assert len((ROOT / BASE).read_text().splitlines()) <= 220
    assert {str(part): list(FILES[str(part)]) for part in PARTS} == {
        f"config/{section}.yaml": [section] for section in ("tables", "figures", "claims", "zoo")
    }


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the shipped files, and a way to lay an overlay over them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    for name in (BASE, *PARTS):
        (tmp_path / name).write_text((ROOT / name).read_text())

    def overlay(tree, name="mine.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(tree))
        return Path(name)

    return overlay


ROW = {"labels": ["x", "y"], "backbone": "nothing", "method": "exact"}


@pytest.mark.parametrize(
    ("tree", "file", "words"),
    [
        ({"tables": {"table1": {"datasets": ["scene"]}}}, "mine.yaml", "tables.table1.datasets: expected one of"),
        ({"figures": {"figure3_photos": {"dataset": "photo"}}}, "mine.yaml", "figures.figure3_photos.dataset: "),
        ({"figures": {"figure1": {"backbone": "dino"}}}, "mine.yaml", "figures.figure1.backbone: expected one of"),
        ({"figures": {"figure1": {"what": "exakt"}}}, "mine.yaml", "figures.figure1.what: expected one of"),
        ({"methods": {"exact": {"vectors": 0}}}, "mine.yaml", "methods.exact.vectors: "),
        ({"methods": {"exact": {"vektors": 9}}}, "mine.yaml", "methods.exact: unknown key 'vektors'"),
        ({"sede": 1}, "mine.yaml", "unknown key 'sede'"),
        ({"tables": {"table2": {"rows": [ROW]}}}, "mine.yaml", "tables.table2.rows[0].backbone: expected one of"),
        ({"tables": {"table2": {"columns": ["A"]}}}, "mine.yaml", "tables.table2: rows[0].labels: expected 1"),
        ({"backbones": {"zoo-dino": {"view": "nativ"}}}, "mine.yaml", "backbones.zoo-dino.view: "),
        ({"zoo": {"evidence": {"first_seed": 1_000_001}}}, "mine.yaml", "zoo: expected evidence.first_seed away"),
        ({"only": ["tabel1"]}, "mine.yaml", "only: expected one of"),
    ],
)  # fmt: skip
def test_a_fault_is_said_of_the_file_that_its_key_stands_in(here, tree, file, words):
    with pytest.raises(InputError) as caught:
        configured([here(tree)])
    assert str(caught.value).startswith(f"{file}: {words}")


def test_of_several_overlays_the_one_whose_value_counts_is_named(here):
    below, above = here({"methods": {"exact": {"vectors": 4}}}, "below.yaml"), here({"seed": 1}, "above.yaml")
    assert configured([below, above]).methods["exact"].vectors == 4
    with pytest.raises(InputError, match=r"^worse\.yaml: methods\.exact\.vectors: "):
        configured([below, here({"methods": {"exact": {"vectors": "four"}}}, "worse.yaml"), above])


def test_the_key_that_took_away_what_is_needed_is_named_with_its_file(here):
    with pytest.raises(
        InputError, match=r"^mine\.yaml: datasets\.photos: expected it to stay, for figures\.photographs,"
    ):
        configured([here({"datasets": {"photos": None}})])


def test_a_run_is_named_after_its_overlay_unless_one_says_another(here):
    plain, named = here({"seed": 1}, "my own.yaml"), here({"run": "said"}, "named.yaml")
    assert configured([]).run == configured([Path("config.yaml")]).run == "embedded"
    assert configured([plain]).run == configured_run([plain], {}).run == "my-own"
    assert configured([plain, here({"seed": 2}, "more.yaml")]).run == "my-own-more"
    assert configured([named, plain]).run == configured([plain, named]).run == "said"
    assert configured_run([plain], {"run": "asked"}).run == "asked"
    with pytest.raises(InputError, match=r"^фото\.yaml: .*; add `run: …` to it"):
        configured([here({"seed": 1}, "фото.yaml")])


def test_tables_of_an_overlay_come_after_the_shipped_ones(here):
    mine = {"mine": {**SHIPPED["tables"]["table2"], "title": "Mine"}}
    assert list(configured([here({"tables": mine})]).tables) == [*SHIPPED["tables"], "mine"]


def test_a_part_that_is_missing_beside_the_others_is_named(here):
    Path("config/figures.yaml").unlink()
    with pytest.raises(InputError, match=r"^config/figures\.yaml: expected a configuration file, got No such file"):
        configured([])
    for part in PARTS:
        part.unlink(missing_ok=True)
    assert configured([]).tables == {}  # a folder with a configuration of its own
