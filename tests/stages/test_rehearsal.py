"""Every stage on a handful of images: called as the workflow calls it, timed by a planted clock, in real processes."""

import itertools
import json
import re
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

import whatwhere.config
from tests.app.test_plan import TABLE, a_tree
from whatwhere.app.plan.jobs import counted
from whatwhere.app.plan.known import Known
from whatwhere.app.plan.rates import Curve, _groups, told
from whatwhere.stages.calls import STAGES, Call
from whatwhere.stages.earlier import made_alike, took
from whatwhere.stages.rehearsal import PAGES, Group, Rehearsal, module_of, rehearse
from whatwhere.stages.task import Task

ROOT = Path(__file__).parents[2]
WALL = perf_counter


def a_table(kind, *runs, **row):
    rows = [{"labels": ["x"], "backbone": backbone, "method": method, **row} for backbone, method in runs]
    return {**TABLE, "kind": kind, "datasets": ["few"], "rows": rows}


def everything():
    """A configuration in which every stage has jobs, of small images."""
    backbones = {"clip": {"model": "zoo/clip", "view": "native"}}
    methods = {
        "exact": {"kind": "exact", "vectors": 4},
        "cut": {"kind": "maskcut"},
        "tokens": {"kind": "tokens"},
        "cached": {"kind": "minibatch", "batch_images": 2, "batches": 3, "vectors": 4},
        "live": {"kind": "minibatch", "batch_images": 2, "batches": 3, "vectors": 4, "features": "live"},
        "global": {"kind": "global", "vectors": 4},
        "landmarks": {"kind": "landmarks", "vectors": 4},
    }
    tables = {
        "one": a_table("oracle", ("dino", "exact")),
        "two": a_table("instances", ("dino", "exact"), ("dino", "cut")),
        "three": a_table("zeroshot", ("clip", "exact"), ("clip", "tokens"), naming="things"),
        "four": a_table(
            "matching", ("dino", "global"), ("dino", "cached"), ("unet", "live"), ("dino", "final"), crf=True
        ),
        "five": a_table("position", ("dino", "truth"), ("dino", "global"), ("dino", "landmarks")),
    }
    columns = [{"show": "regions", "heading": "x", "backbone": "dino", "method": "exact"}]
    seen = {"kind": "pictures", "dataset": "few", "images": 9, "columns": columns}
    tree = a_tree(backbones=backbones, methods=methods, tables=tables, figures={"seen": seen})
    tree |= {"namings": {"things": {"classes": ["car", "tree"], "measure": "probability", "threshold": 0.1}}}
    tree["explored"] = {"few": {"backbone": "dino"}}
    tree |= {"regions": {"candidates": [2, 3], "restarts": 1}, "bootstrap": 10}
    crf = {"gaussian_px": 1, "gaussian_weight": 3, "bilateral_px": 67, "bilateral_rgb": 3, "bilateral_weight": 4}
    tree["segments"] = {"restarts": 1, "crf": {"iterations": 1, **crf}}
    return whatwhere.config.parse(tree)


@pytest.fixture(scope="module")
def tasks():
    config = everything()
    known = Known(config)
    return config, [Task(j.stage, j.place, j.after, (2, 3)) for j in counted(known) if j.stage in STAGES]


def test_every_stage_of_the_workflow_has_a_call_or_a_reason():
    rules = (ROOT / "workflow/rules").glob("*.smk")
    logs = [re.findall(r'f"\{RESULTS\}/logs/([a-z]+)', file.read_text("utf-8")) for file in rules]
    # downloads are nobody's to rehearse, and timings time themselves
    assert set(itertools.chain(*logs)) == {*STAGES, *PAGES, "fetch", "timings"}
    for stage in (*STAGES, *PAGES):
        assert (ROOT / f"src/whatwhere/stages/{module_of(stage)}.py").is_file()


@pytest.mark.parametrize(
    ("noise", "patience_s", "turns"), [({}, 1e9, 3), ({"few": (64, 64)}, 0.0, 1)], ids=["scenes", "noise"]
)
def test_every_stage_runs_on_a_handful_of_images(tmp_path, tasks, noise, patience_s, turns, capsys):
    config, every = tasks
    assert {task.stage for task in every} == set(STAGES)
    small = Rehearsal(config, tmp_path, noise, patience_s=patience_s)
    done = dict.fromkeys(range(len(every)), 0)
    for number, _, seconds in small.timed(every):
        assert seconds > 0
        done[number] += 1
    assert {every[number].place for number, made in done.items() if made < turns} == set(), capsys.readouterr().err


def test_two_turns_with_few_images_and_one_with_more_unless_that_takes_long(tmp_path):
    clock = itertools.count()  # a second between any two looks
    index = Task("index", ("few", "native"), sizes=(1, 4))
    images = Task("images", ("few", "native"), (("index", ("few", "native")),), sizes=(1, 4))
    config = everything()
    turns = list(Rehearsal(config, tmp_path).timed([index, images], lambda: float(next(clock))))
    assert turns == [(0, 1, 1.0), (1, 1, 1.0), (0, 1, 1.0), (1, 1, 1.0), (0, 4, 1.0), (1, 4, 1.0)]
    turns = list(Rehearsal(config, tmp_path, patience_s=0.5).timed([index, images], lambda: float(next(clock))))
    assert [images for _, images, _ in turns] == [1, 1, 1, 1]  # a second an image is too long for four of them


def test_what_fails_is_left_out_with_what_reads_it(tmp_path, capsys):
    bad = Task("images", ("few", "nowhere"))
    after = Task("features", ("few", "dino"), (("images", ("few", "nowhere")),))
    index = Task("index", ("few", "native"))
    turns = list(Rehearsal(everything(), tmp_path).timed([bad, after, index]))
    assert {number for number, *_ in turns} == {2}
    assert "KeyError: 'nowhere'" in capsys.readouterr().err


def test_noise_stands_for_images_that_are_not_here(tmp_path):
    found = Call(everything(), ("few", "native"), 2, {}, tmp_path, {"few": (48, 64)}).dataset()
    assert [record.image().shape for record in found.records] == [(48, 64, 3)] * 2
    assert not np.array_equal(*(record.image() for record in found.records))
    assert found.classes == everything_classes()
    assert {int(label) for record in found.records for label in np.unique(record.labels()[0])} == {0, 1}


def everything_classes():
    from whatwhere.scenes.world import CLASSES

    return tuple(CLASSES)


def test_processes_answer_in_order_each_after_what_it_reads(tmp_path):
    config = everything()
    place = ("few", "native")
    groups = [
        Group("images", (Task("index", place),)),
        Group("images", (Task("images", place, (("index", place),)),)),
        Group("drawing", ()),
    ]
    answers = list(rehearse(Rehearsal(config, tmp_path), groups, at_once=2, until=WALL() + 300))
    assert [answer.imports_s > 0 for answer in answers] == [True] * 3
    assert [[images for _, images, _ in answer.tasks] for answer in answers] == [[1, 1, 4], [1, 1, 4], []]


def test_a_process_that_is_out_of_time_is_stopped(tmp_path):
    groups = [Group("images", (Task("index", ("few", "native")),))]
    (answer,) = rehearse(Rehearsal(everything(), tmp_path), groups, at_once=1, until=WALL())
    assert (answer.imports_s, answer.tasks) == (None, ())


def test_jobs_whose_scripts_import_the_same_share_a_process():
    known = Known(everything())
    groups = _groups(counted(known), known)
    assert all(len({task.stage for task in group.tasks}) <= 1 for group in groups)
    modules = [(group.module, group.tasks[0].stage) for group in groups if group.tasks]
    assert {("vectors", "vectors"), ("baselines", "vectors"), ("refining", "refined")} <= set(modules)
    # a process for each model
    assert modules.count(("features", "features")) == len({"zoo/dino", "zoo/clip"})


def test_pages_of_photographs_take_what_they_took_or_as_long_a_photograph():
    """Of nine a log says how long, not how many; a trial had one."""
    (pages,) = (one for one in counted(Known(everything())) if one.stage == "explored")
    for images, low_s in ((0, 12.0), (1, 108.0)):
        curves = {pages.key: [Curve("somewhere", 0.0, ((images, 12.0),))]}
        assert told(pages, curves).low_s == pytest.approx(low_s)


# ----------------------------------------------------------------------------------------- earlier runs


def write(file, text):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")


def test_logs_say_what_jobs_took_and_the_index_of_how_many_images(tmp_path):
    shards = {"64x64-000": ["a", "b"], "64x64-001": ["c"]}
    write(tmp_path / "images/few/native/index.json", json.dumps({"shards": shards}))
    for name, seconds in {"64x64-000": 3.5, "64x64-001": 2.0}.items():
        line = f"\ndone in {seconds} s, at most 9 MB of memory\n"
        write(tmp_path / f"logs/features/few/v1.5/{name}.log", line)
    write(tmp_path / "logs/joint/few/v1.5/what.log", "done in 7.0 s, at most 9 MB of memory\n")
    write(tmp_path / "logs/report.log", "done in 1.5 s, at most 9 MB of memory\n")
    seen = ("few", "native")
    assert took(tmp_path, "features", ("few", "v1.5"), seen) == [(2, 3.5), (1, 2.0)]
    assert took(tmp_path, "joint", ("few", "v1.5", "what"), seen) == [(3, 7.0)]
    assert took(tmp_path, "report", (), ()) == [(0, 1.5)]
    assert took(tmp_path, "scores", ("few", "v1.5"), seen) == []


def test_what_was_made_with_other_settings_is_not_alike(tmp_path):
    config = everything()
    method = config.methods["global"].model_dump(mode="json")
    place = ("few", "dino", "global")
    file = tmp_path / "joint/few/dino/global.json"
    assert made_alike(tmp_path, "joint", place, config)  # nothing says otherwise
    write(file, json.dumps({"settings": {"method": method, "seed": 9}}))
    assert made_alike(tmp_path, "joint", place, config)
    write(file, json.dumps({"settings": {"method": {**method, "time": 9}}}))
    assert not made_alike(tmp_path, "joint", place, config)
