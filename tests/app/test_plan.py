"""What a run will do, before it does it: planted configurations, planted logs and clocks, and one real extraction."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import whatwhere.config
from whatwhere.app.plan import planning, rates
from whatwhere.app.plan.gpus import GPUS, UTILISATION, gpu_called
from whatwhere.app.plan.jobs import Jobs, counted
from whatwhere.app.plan.known import Known
from whatwhere.app.plan.page import page
from whatwhere.app.plan.planning import make_plan
from whatwhere.app.plan.rates import Curve, calibrated, told
from whatwhere.app.plan.renting import hours_words, rented, write_plan
from whatwhere.artifacts.errors import InputError
from whatwhere.config.overlay import configured, merged
from whatwhere.stages.rehearsal import Timed

TABLE = {"title": "t", "source": "s", "columns": ["Method"]}


def a_tree(**changes):
    """Twelve scenes through a small transformer and a small diffusion model, one table and nothing else."""
    row = {"labels": ["x"]}
    tree = {
        "run": "planted",
        "shard_images": 4,
        "views": {"native": {"protocol": "none", "multiple_px": 16}, "half": {"protocol": "square", "size_px": 64}},
        "datasets": {"few": {"kind": "scenes", "images": 12, "size_px": 64}},
        "backbones": {
            "dino": {"model": "zoo/dino", "view": "native"},
            "unet": {"model": "zoo/diffusion", "view": "half", "options": {"t_min": 0, "t_max": 500, "samples": 4}},
        },
        "methods": {
            "exact": {"kind": "exact"},
            "gradient": {"kind": "gradient", "operator": "normalised", "steps": 100},
            "final": {"kind": "final"},
            "truth": {"kind": "truth"},
            "live": {"kind": "minibatch", "batch_images": 5, "batches": 9, "features": "live"},
            "cached": {"kind": "minibatch", "batch_images": 5, "batches": 9},
            "global": {"kind": "global"},
        },
        "tables": {
            "one": {
                **TABLE,
                "kind": "oracle",
                "datasets": ["few"],
                "rows": [
                    {**row, "backbone": "dino", "method": "exact"},
                    {**row, "backbone": "unet", "method": "exact"},
                ],
            }
        },
    }
    return merged(tree, changes)


REGIONS = {"show": "regions", "heading": "h", "backbone": "dino", "method": "exact"}


def a_plan(results=Path("nowhere"), **changes):
    return make_plan(whatwhere.config.parse(a_tree(**changes)), results=results)


def a_table(kind, *runs):
    rows = [{"labels": ["x"], "backbone": backbone, "method": method} for backbone, method in runs]
    return {"one": None, "two": {**TABLE, "kind": kind, "datasets": ["few"], "rows": rows}}


def networks(plan):
    return {one.place[1]: one for one in plan.jobs if one.stage == "features"}


# ------------------------------------------------------------------------------------------------- counts


def test_an_environment_variable_that_is_not_set_is_missing_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLANTED_DATA", raising=False)
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": "folder", "root": "${PLANTED_DATA}/photos"}}
    Path("config.yaml").write_text(yaml.safe_dump(tree), "utf-8")
    plan = make_plan(configured([]))
    assert [one.what for one in plan.missing] == ["data set few"]
    assert "PLANTED_DATA" in plan.missing[0].how
    assert plan.data["few"] == ("folder", None, "missing")
    assert page(plan).splitlines()[-1] == "not ready, missing: data set few"
    monkeypatch.setenv("PLANTED_DATA", str(tmp_path))
    assert "PLANTED_DATA" not in page(make_plan(configured([])))


def test_passes_are_images_times_noise_samples_and_jobs_are_shards():
    plan = a_plan()
    rows = networks(plan)
    assert (rows["dino"].passes, rows["unet"].passes) == (12, 48)
    assert {one.jobs for one in plan.jobs if one.stage in ("images", "features", "vectors", "regions", "scores")} == {3}
    stages = ["index", "images", "features", "vectors", "regions", "scores", "tables", "report"]
    assert list(dict.fromkeys(one.stage for one in plan.jobs)) == stages


def test_a_solve_that_takes_anothers_columns_comes_after_it():
    wide = {"kind": "global", "vectors": 8, "time": 0, "graph": {"inter": 3}}
    methods = {"wide": wide, "taken": {**wide, "of": "wide", "vectors": 4}}
    plan = a_plan(tables=a_table("matching", ("dino", "taken")), methods=methods)
    joint = {one.place[2]: one for one in plan.jobs if one.stage == "joint"}
    assert list(joint) == ["wide", "taken"]
    assert joint["taken"].after == (("joint", ("few", "dino", "wide")),)
    assert (joint["wide"].pairs, joint["taken"].pairs) == (True, False)


def test_a_limit_counts_and_a_backbone_that_nothing_asks_for_does_not():
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": "voc", "root": "nowhere/voc", "limit": 7}}
    tree["tables"]["one"]["rows"].pop()
    tree["views"]["native"] = {"protocol": "square", "size_px": 64, "multiple_px": 16}
    plan = make_plan(whatwhere.config.parse(tree))
    assert [(name, one.passes) for name, one in networks(plan).items()] == [("dino", 7)]
    assert [(one.what, one.into) for one in plan.downloads] == [("voc2012", "nowhere/voc")]
    assert plan.downloads[0].bytes == 1_999_639_040
    assert plan.data["few"] == ("voc", 7, "downloaded")
    assert not plan.missing


@pytest.mark.parametrize(
    ("kind", "images"), [("voc", 1449), ("cocostuff27", 2175), ("coco", 5000), ("cityscapes", 500)]
)
def test_published_sets_are_counted_without_their_files(kind, images):
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": kind, "root": "nowhere"}}
    plan = make_plan(whatwhere.config.parse(tree))
    assert plan.data["few"][1] == images
    assert networks(plan)["unet"].passes == 4 * images
    lacking = [one.what for one in plan.missing if "disk" not in one.what]
    assert lacking == (["data set few"] if kind == "cityscapes" else [])  # which is behind a login


def test_a_live_solver_runs_the_network_for_every_batch_and_leaves_no_features():
    plan = a_plan(tables=a_table("matching", ("unet", "live")))
    (row,) = (one for one in plan.jobs if one.network)
    # 12 images in batches of 5 are 3 batches of 4; one noise sample each, nine batches
    assert (row.stage, row.at_once, row.passes) == ("joint", 4, 36)
    assert not any(one.stage == "features" for one in plan.stored)


def test_a_cached_solver_reads_features_and_true_labels_need_none_where_none_are_kept():
    runs = a_table("position", ("unet", "cached"), ("dino", "truth"))
    assert set(networks(a_plan(tables=runs))) == {"unet", "dino"}
    assert set(networks(a_plan(tables=runs, features={"keep": False}))) == {"unet"}


def test_an_unknown_architecture_is_said_with_a_reason_and_the_others_are_counted():
    plan = a_plan(backbones={"dino": {"model": "nobody/never-published"}})
    row = networks(plan)["dino"]
    assert (row.passes, row.flop, row.low_s) == (None, None, None)
    assert any("nobody/never-published" in reason and "its configuration" in reason for reason in plan.unknown)
    assert networks(plan)["unet"].passes == 48
    assert "unknown" in page(plan)


def test_a_view_that_does_not_fit_the_patches_is_said():
    plan = a_plan(datasets={"few": {"size_px": 68}}, views={"native": {"multiple_px": 4}})
    assert any("multiples of its 8 px patches" in reason for reason in plan.unknown)


OBJECTS = {
    "cut": {"kind": "tokencut", "masks": 2},
    "cuts": {"kind": "maskcut", "masks": 3},
    "ncut": {"kind": "ncut"},
}


def objects_and_cuts(**changes):
    """Objects by an exact solver and by two methods that answer masks, and scores of NCut: of one small transformer."""
    tables = a_table("instances", ("dino", "exact"), ("dino", "cut"), ("dino", "cuts"))
    three = {**TABLE, "kind": "oracle", "datasets": ["few"]}
    tables["three"] = {**three, "rows": [{"labels": ["x"], "backbone": "dino", "method": "ncut"}]}
    return {"methods": OBJECTS, "tables": tables, **changes}


# -------------------------------------------------------------------------------------------------- hours


SHARDS = [f"64x64-{number:03d}" for number in range(3)]


def write_logs(results, run="planted", seconds=10.0):
    """Logs of all jobs of the planted run: three shards of four images each, the first a second longer."""
    for one in counted(Known(whatwhere.config.parse(a_tree()))):
        parts = (one.stage, *one.place)
        names = [parts] if one.stage in ("index", "tables", "report") else [(*parts, shard) for shard in SHARDS]
        for number, name in enumerate(names):
            file = results.joinpath(run, "logs", *name[:-1], f"{name[-1]}.log")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"words\n\ndone in {seconds + (number == 0):.1f} s, at most 100 MB of memory\n", "utf-8")
        if one.stage == "index":
            index = results.joinpath(run, "images", *one.place, "index.json")
            index.parent.mkdir(parents=True, exist_ok=True)
            index.write_text(json.dumps({"shards": {shard: ["a", "b", "c", "d"] for shard in SHARDS}}), "utf-8")


def test_logs_of_the_very_jobs_are_their_hours(tmp_path):
    write_logs(tmp_path)
    plan = a_plan(tmp_path)
    assert all(one.source == "logs of planted" for one in plan.jobs)
    by_stage = {one.stage: (one.low_s, one.high_s) for one in plan.jobs}
    assert by_stage["vectors"] == pytest.approx((31, 31))  # 11 + 10 + 10
    assert by_stage["tables"] == pytest.approx((11, 11))
    assert plan.totals["low_s"] == plan.totals["high_s"] == pytest.approx(sum(one.low_s for one in plan.jobs))


def test_logs_of_fewer_images_are_scaled_with_and_without_their_start(tmp_path):
    write_logs(tmp_path, seconds=10.0)
    plan = a_plan(tmp_path, datasets={"few": {"images": 48}}, shard_images=48)
    (row,) = (one for one in plan.jobs if one.stage == "vectors" and one.place[1] == "dino")
    # one job of 48 images; of 4 they were 10 or 11 s, 10 of them the start, as the quickest job says
    assert (row.low_s, row.high_s) == pytest.approx((10 + 0 * 12, 10 + 1 * 12))


@pytest.mark.parametrize(
    ("stage", "place", "said", "unknown"),
    [
        ("vectors", ("dino", "exact"), {"method": {"vectors": 3}}, {"vectors", "regions", "scores"}),
        ("features", ("dino",), {"backbone": {"seed": 8}}, {"features", "vectors", "regions", "scores"}),
        ("images", ("native",), {"dataset": {"size_px": 32}}, {"features", "vectors", "regions", "scores"}),
        ("images", ("native",), {"dataset": {"images": 99}}, set()),  # more of the same
        ("regions", ("dino", "exact"), {"restarts": 9}, {"regions", "scores"}),
    ],
)
def test_logs_of_jobs_with_other_settings_say_nothing(tmp_path, stage, place, said, unknown):
    write_logs(tmp_path)
    config = whatwhere.config.parse(a_tree())
    told = {
        "method": config.methods["exact"].model_dump(mode="json"),
        "backbone": {"model": "zoo/dino", "seed": 0},
        "dataset": config.datasets["few"].model_dump(mode="json"),
        "restarts": config.regions.restarts,
    }
    file = tmp_path.joinpath("planted", stage, "few", *place, "64x64-000.json")
    file.parent.mkdir(parents=True, exist_ok=True)
    (key, changed), *_ = said.items()
    file.write_text(json.dumps({"settings": {key: told[key]}}), "utf-8")
    assert {one.source for one in a_plan(tmp_path).jobs} == {"logs of planted"}
    other = {**told[key], **changed} if isinstance(changed, dict) else changed
    file.write_text(json.dumps({"settings": {key: other}}), "utf-8")
    found = [one for one in a_plan(tmp_path).jobs if one.source != "logs of planted"]
    assert {one.stage for one in found} == unknown
    assert not {one.place for one in found} & {("few", "unet"), ("few", "half")}


def test_logs_of_another_run_stand_in_where_there_are_none_of_its_own(tmp_path):
    write_logs(tmp_path, run="another", seconds=20.0)
    assert {one.source for one in a_plan(tmp_path).jobs} == {"logs of another"}
    write_logs(tmp_path, seconds=10.0)
    assert {one.source for one in a_plan(tmp_path).jobs} == {"logs of planted"}


def test_a_job_that_did_not_end_well_says_nothing(tmp_path):
    write_logs(tmp_path)
    for log in (tmp_path / "planted/logs/scores").rglob("*.log"):
        log.write_text("Traceback\n", "utf-8")
    assert {one.stage for one in a_plan(tmp_path).jobs if one.low_s is None} == {"scores"}


def jobs_of(images, **more):
    return Jobs("planted", ("few",), images=images, at_once=images, like=("x",), **more)


def told_by(one, *points, start=5.0):
    return told(one, {one.key: [Curve("measured", start, tuple((n, start + seconds) for n, seconds in points))]})


def test_a_straight_line_is_drawn_through_two_handfuls():
    found = told_by(jobs_of(100), (1, 3.0), (1, 3.0), (4, 12.0))
    assert (found.low_s, found.high_s) == pytest.approx((305, 305))
    # a fixed part of 2 s beside the start: paid once a job, or in every handful
    found = told_by(jobs_of(100), (1, 3.0), (4, 6.0))
    assert (found.low_s, found.high_s) == pytest.approx((5 + 2 + 100, 5 + 150))
    three = jobs_of(100)
    three = told_by(Jobs(**{**vars(three), "jobs": 3, "at_once": 100 / 3}), (1, 3.0), (4, 12.0))
    assert three.high_s == pytest.approx(3 * 5 + 300)


def test_a_joint_solve_has_a_part_that_grows_with_the_square():
    def seconds(images):
        return 0.5 * images + 0.02 * images**2

    found = told_by(jobs_of(200, pairs=True), (4, seconds(4)), (16, seconds(16)))
    assert (found.low_s, found.high_s) == pytest.approx((5 + seconds(200),) * 2)
    one_size = told_by(jobs_of(40, pairs=True), (4, 1.0))
    assert (one_size.low_s, one_size.high_s) == pytest.approx((5 + 10, 5 + 100))


def test_jobs_may_cost_more_than_in_a_trial():
    points = ((4, 2.0), (16, 8.0))
    found = told_by(jobs_of(1000, jobs=10, dearer=3.0), *points)
    each = 0.5 * 1000
    assert (found.low_s, found.high_s) == pytest.approx((10 * (5 + each), 10 * (5 + 3 * each)))


def test_a_sample_is_solved_by_one_job_and_extended_to_by_one_a_shard():
    """64 tokens an image: a trial of 16 has 1,024 landmarks, the sample of 40 all 2,560, or those that are kept."""
    for kept, dearer in ((0, 2560 / 1024), (1600, 1600 / 1024), (800, 1.0)):
        method = {"kind": "landmarks", "sample": 40, "landmarks": kept}
        given = {"methods": {"marks": method}, "tables": a_table("position", ("dino", "marks"))}
        rows = {one.stage: one for one in a_plan(**given, shard_images=5).jobs}
        assert (rows["codebook"].jobs, rows["codebook"].images, rows["codebook"].pairs) == (1, 12, True)
        assert (rows["extended"].jobs, rows["extended"].images, rows["extended"].at_once) == (3, 12, 4)
        assert rows["extended"].dearer == pytest.approx(dearer)
        assert ("extended", rows["extended"].place) in rows["segments"].after
        assert "joint" not in rows
    method |= {"sample": 2}
    given |= {"methods": {"marks": method}, "features": {"keep": False}}
    plan = a_plan(**given, shard_images=1)
    (features,) = (one for one in plan.stored if one.stage == "features")
    whole = next(one for one in a_plan(**given | {"features": {"keep": True}}).stored if one.stage == "features")
    assert features.peak_bytes == pytest.approx(whole.kept_bytes * 2 / 12)  # two of twelve shards have the sample


def test_a_network_that_was_not_run_is_reckoned_by_its_operations():
    plan = a_plan()
    dino, unet = networks(plan)["dino"], networks(plan)["unet"]
    small = Curve("measured", 5.0, ((1, 7.0), (1, 6.0), (4, 5.0 + 4 * dino.network.flop / 1e9)))
    found = told(unet, {dino.key: [small]})
    assert found.source == "by operations"
    assert found.low_s == found.high_s == pytest.approx(3 * 5 + unet.flop / 1e9)
    assert told(unet, {}).low_s is None


def calibration(monkeypatch, answer, **changes):
    """What is measured where `answer(task, images)` says what each takes, and every import a second."""
    seen = []

    def rehearse(small, groups, **_):
        seen.extend(groups)
        for group in groups:
            turns = [(n, task.sizes[turn == 2]) for turn in range(3) for n, task in enumerate(group.tasks)]
            times = [(n, images, float(answer(group.tasks[n], images))) for n, images in turns]
            if times:  # the first use costs three seconds
                times[0] = (*times[0][:2], times[0][2] + 3)
            yield Timed(1.0, tuple(times))

    monkeypatch.setattr(rates, "rehearse", rehearse)
    known = Known(whatwhere.config.parse(a_tree(**changes)))
    jobs = counted(known)
    curves = calibrated(known, jobs, {}, device="cpu", seconds=9)
    return seen, [told(one, curves) for one in jobs]


def test_each_kind_of_job_is_tried_once_with_what_it_reads(monkeypatch):
    twin = {"twin": {"model": "zoo/mae", "view": "native"}}
    table = a_tree()["tables"]["one"]
    rows = [*table["rows"], {"labels": ["x"], "backbone": "twin", "method": "exact"}]
    changes = {"backbones": twin, "tables": {"one": {**table, "rows": rows}}}
    groups, jobs = calibration(monkeypatch, lambda task, images: 0.5 * images, **changes)
    tried = [(task.stage, task.place[1]) for group in groups for task in group.tasks]
    assert ("features", "twin") not in tried  # as the other transformer of that shape
    assert {place for stage, place in tried if stage == "vectors"} == {"dino", "unet"}
    assert len(tried) == len(set(tried))
    rows = {one.place[1]: one for one in jobs if one.stage == "vectors"}
    # half a second an image, and for each of three shards a start of 1 + 3 s, or none as a warm parent's child
    assert [end for one in rows.values() for end in (one.low_s, one.high_s)] == pytest.approx([6.0, 18.0] * len(rows))
    assert {(one.low_s, one.high_s) for one in jobs if one.stage in ("tables", "report")} == {(0.0, 1.0)}
    assert all(one.source == "measured" for one in jobs)


def test_mini_batches_are_tried_by_a_few(monkeypatch):
    changes = {"tables": a_table("matching", ("unet", "cached"))}
    _, jobs = calibration(monkeypatch, lambda task, images: 2.0 * images, **changes)
    (row,) = (one for one in jobs if one.stage == "joint")
    # two of nine batches were tried; of the set's 12 images 4 are in a batch
    assert (row.low_s, row.high_s) == pytest.approx((2.0 * 4 * 9 / 2, 4 + 2.0 * 4 * 9 / 2))


def test_a_network_that_is_too_large_is_not_tried_nor_what_reads_it(monkeypatch):
    monkeypatch.setattr(rates, "MOST_FLOP", 1.0)
    groups, jobs = calibration(monkeypatch, lambda task, images: 1.0)
    assert {task.stage for group in groups for task in group.tasks} == {"index", "images"}
    assert {one.stage for one in jobs if one.low_s is None} == {"features", "vectors", "regions", "scores"}


def test_what_logs_say_is_not_measured(tmp_path, monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("measured")

    monkeypatch.setattr(planning, "calibrated", never)
    write_logs(tmp_path)
    said = []
    config = whatwhere.config.parse(a_tree())
    make_plan(config, measure_s=60, results=tmp_path, say=said.append)
    assert said == []
    with pytest.raises(AssertionError, match="measured"):
        make_plan(config, measure_s=60, results=tmp_path / "elsewhere", say=said.append)
    assert "at most 60 s" in said[0]


def test_a_gpu_that_is_not_here_runs_networks_at_its_share_of_the_peak(tmp_path):
    write_logs(tmp_path)
    config = whatwhere.config.parse(a_tree())
    plan = make_plan(config, gpu="rtx-4090", results=tmp_path)
    assert plan.gpu == "RTX 4090"
    assert plan.totals["gpu_s"] == pytest.approx(plan.totals["flop"] / (UTILISATION * GPUS["RTX 4090"][0] * 1e12))
    assert "On one RTX 4090" in page(plan)
    assert "solvers, texts and timings unknown (1 min 2 s to 1 min 2 s here)" in " ".join(page(plan).split())
    assert make_plan(config, results=tmp_path).gpu is None
    with pytest.raises(InputError, match="--gpu: expected one of A10, A40"):
        gpu_called("abacus")


def test_half_precision_is_faster_on_a_gpu():
    options = {"t_min": 0, "t_max": 500, "samples": 4}
    trees = (a_tree(backbones={"unet": {"options": {**options, "precision": p}}}) for p in ("float32", "bfloat16"))
    single, half = (make_plan(whatwhere.config.parse(tree), gpu="A40") for tree in trees)
    assert half.totals["flop"] == single.totals["flop"]
    assert half.totals["gpu_s"] < 0.6 * single.totals["gpu_s"]


@pytest.mark.parametrize("settings", [("proposals",), ("segments",), ("segments", "proposals")])
def test_a_package_that_only_a_crf_asks_for_is_missing(monkeypatch, settings):
    monkeypatch.setattr("whatwhere.app.plan.needs.find_spec", lambda name: None)
    asked = objects_and_cuts(**{name: {"crf": {"library": "pydensecrf"}} for name in settings})
    asked["tables"] |= {"four": a_table("matching", ("dino", "final"))["two"]}
    asked["tables"]["four"]["rows"][0]["crf"] = True
    (found,) = (one for one in a_plan(**asked).missing if "package" in one.what)
    assert found.what == "the package pydensecrf2"
    assert [name for name in ("segments", "proposals") if f"{name}: {{crf" in found.how] == list(settings)
    monkeypatch.setattr("whatwhere.app.plan.needs.find_spec", lambda name: name)
    assert not a_plan(**asked).missing


def test_a_package_is_not_missing_where_no_masks_are_refined(monkeypatch):
    monkeypatch.setattr("whatwhere.app.plan.needs.find_spec", lambda name: None)
    tables = a_table("instances", ("dino", "exact"))
    assert not a_plan(tables=tables, proposals={"crf": {"library": "pydensecrf"}}).missing


# -------------------------------------------------------------------------------------------------- disk


@pytest.mark.parametrize("values", [False, True])
def test_disk_is_what_a_small_extraction_writes(tmp_path, values):
    written = extracted_bytes(tmp_path, values)
    method = {"methods": {"exact": {"pathway": "vv" if values else "qk"}}}
    plan = a_plan(**method, tables={"one": {"rows": [{"labels": ["x"], "backbone": "unet", "method": "exact"}]}})
    sizes = {one.stage: one.kept_bytes for one in plan.stored}
    assert {stage: sizes[stage] for stage in written} == pytest.approx(written, rel=0.05)


def extracted_bytes(folder, values):
    """What images, features and vectors of the planted run take on the disk, without their JSON."""
    from whatwhere.artifacts.store import Store
    from whatwhere.backbones import load_backbone
    from whatwhere.datasets import load_dataset
    from whatwhere.datasets.images import View
    from whatwhere.stages.features import extract
    from whatwhere.stages.images import write_images
    from whatwhere.stages.vectors import write_vectors

    scenes = load_dataset("few", kind="scenes", images=12, size_px=64, first_seed=0)
    ids = [record.id for record in scenes.records]
    paths = {name: folder / f"{name}.json" for name in ("images", "features", "vectors")}
    shown = {"view": View("square", 64, 1), "numbers": {name: i for i, name in enumerate(ids, 1)}, "run_images": 16}
    write_images(scenes, ids, paths["images"], folder / "objects.json", **shown, settings={})
    options = {"t_min": 0, "t_max": 500, "samples": 4}
    backbone = load_backbone("zoo/diffusion", model="zoo/diffusion", options=options)
    choice = {"values": values, "batch_images": 4, "run_images": 16, "seed": 0, "settings": {}}
    extract(Store(paths["images"]), backbone, paths["features"], **choice)
    method = {"pathway": "vv" if values else "qk", "operator": "normalised", "layers": ["*"], "vectors": 10}
    features = Store(paths["features"])
    write_vectors(features, paths["vectors"], kind="exact", method=method, seed=0, device="cpu", settings={})
    return {name: stored_bytes(path.with_suffix(".zarr")) for name, path in paths.items()}


def stored_bytes(store):
    return sum(file.stat().st_size for file in store.rglob("*") if file.is_file() and file.name != "zarr.json")


def test_features_that_are_not_kept_need_room_for_a_shard_or_for_a_set_that_is_read_whole():
    def needs(method):
        tables = a_table("matching", ("dino", method))
        kept, brief = (a_plan(features={"keep": keep}, tables=tables) for keep in (True, False))
        (whole,), (stage,) = ([s for s in plan.stored if s.stage == "features"] for plan in (kept, brief))
        assert whole.kept_bytes == whole.peak_bytes
        return whole.kept_bytes, stage

    whole, stage = needs("final")
    assert (stage.kept_bytes, stage.peak_bytes) == (0, pytest.approx(whole / 3))  # shards of 4 of 12 images
    assert "at least" in stage.note
    assert "several may wait" in stage.note
    whole, stage = needs("global")
    assert (stage.kept_bytes, stage.peak_bytes) == (0, pytest.approx(whole))


def test_a_disk_that_is_too_small_is_missing(monkeypatch):
    monkeypatch.setattr(planning, "free_bytes", lambda folder: 1000.0)
    assert a_plan().missing[-1].what.endswith("GB of disk")


# ------------------------------------------------------------------------------------------------- needs


def test_what_is_missing_is_said_with_what_to_do(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    backbones = {
        "dino": {"model": "dino-vits16", "weights": "nowhere.pth"},
        "unet": {"model": "stable-diffusion-3", "options": {"step": 250}},
    }
    plan = a_plan(device="cuda", backbones=backbones)
    how = {one.what: one.how for one in plan.missing}
    assert set(how) == {
        "weights of backbone dino",
        "permission for stabilityai/stable-diffusion-3-medium-diffusers",
        "device cuda",
    }
    assert "nowhere.pth" in how["weights of backbone dino"]
    assert "HF_TOKEN" in how["permission for stabilityai/stable-diffusion-3-medium-diffusers"]
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "planted")  # set, or stored by a login
    assert not any("permission" in one.what for one in a_plan(device="cuda", backbones=backbones).missing)


def test_weights_of_the_hub_are_downloaded_once_and_checkpoints_of_stego_by_the_workflow(tmp_path):
    checkpoint = tmp_path / "stego-cocostuff27" / "cocostuff27_vit_base_5.ckpt"
    backbones = {
        "dino": {"model": "clip-vit-b16"},
        "unet": {"model": "stego", "weights": str(checkpoint), "options": None},
    }
    tree = a_tree(backbones=backbones)
    tree["backbones"]["twin"] = tree["backbones"]["dino"]
    tree["tables"]["one"]["rows"].append({"labels": ["x"], "backbone": "twin", "method": "exact"})
    plan = make_plan(whatwhere.config.parse(tree))
    assert [one.what for one in plan.downloads] == ["openai/clip-vit-base-patch16", "stego-cocostuff27"]
    assert plan.downloads[0].bytes == pytest.approx(4 * 149.62e6, rel=1e-3)
    assert plan.downloads[1].into == str(tmp_path)
    assert not plan.missing


# -------------------------------------------------------------------------------- more than there is, and to rent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A configuration for a folder of five photographs, of which every job takes a second an image."""
    from PIL import Image

    for number in range(5):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(tmp_path / f"{number}.png")

    def calibrated(known, jobs, curves, **_):
        return {one.key: [Curve("measured", 0.0, ((1, 1.0), (4, 4.0)))] for one in jobs}

    monkeypatch.setattr(planning, "calibrated", calibrated)
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": "folder", "root": str(tmp_path)}}
    tree["tables"]["one"]["rows"].pop()
    return whatwhere.config.parse(tree)


def test_a_million_photographs_are_planned_by_those_that_are_there(folder):
    here, supposed = (make_plan(folder, measure_s=9, images=images) for images in (None, 1_000_000))
    assert (here.data["few"][1], supposed.data["few"][1]) == (5, 1_000_000)
    rows = networks(supposed)
    assert (rows["dino"].passes, rows["dino"].jobs) == (1_000_000, 250_000)
    assert (rows["dino"].low_s, rows["dino"].high_s) == pytest.approx((1e6, 1e6))
    assert networks(here)["dino"].low_s == pytest.approx(5)
    assert supposed.totals["kept_bytes"] == pytest.approx(here.totals["kept_bytes"] * 1e6 / 5)
    assert "to rent" in page(supposed)
    assert "to rent" not in page(here)
    assert [line for line in page(supposed).splitlines() if len(line) > 120] == []


def test_images_are_supposed_of_folders_only():
    with pytest.raises(InputError, match="--images: expected a data set of kind folder, got scenes; add one"):
        make_plan(whatwhere.config.parse(a_tree()), images=7, measure_s=9, say=pytest.fail)


def test_what_to_rent_is_hours_of_cores_and_of_a_gpu_and_a_disk(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # away from what a run has left here, by whose seconds it would be planned
    plan = make_plan(folder, measure_s=9, images=36_000, gpu="L4")
    found = {one.what: (one.low, one.high) for one in rented(plan)}
    stages = dict.fromkeys(one.stage for one in plan.jobs)
    by_image = len(stages) - 2  # all but the table and the report, which no image is counted in, at 2.5 s
    assert found["cores beside it"] == (hours_words(36_000 * (by_image - 1) + 5),) * 2
    assert found["instead of the GPU, cores for the networks"] == ("10 h", "10 h")
    assert found["one L4"][0] == hours_words(plan.totals["gpu_s"])
    assert found["the longest job"] == ("10 h", "10 h")  # the index: one job sees all of them
    assert found["shortest time, with any number of cores"] == (hours_words(36_000 + 4 * 4),) * 2
    assert list(found)[-1] == "disk that all machines see"
    write_plan(plan, tmp_path / "out")
    with (tmp_path / "out/stages.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    assert list(rows) == list(stages)
    assert (rows["features"]["jobs"], rows["features"]["images"]) == ("9,000", "36,000")
    assert "what,at least,at most,note" in (tmp_path / "out/rent.csv").read_text()
    assert rented(make_plan(folder)) == []


def test_hours_that_nobody_knows_are_not_nothing(tmp_path):
    write_logs(tmp_path)
    plan = a_plan(tmp_path, tables=a_table("matching", ("unet", "live"), ("dino", "global"), ("dino", "final")))
    write_plan(plan, tmp_path / "out")
    with (tmp_path / "out/stages.csv").open() as file:
        rows = {row["stage"]: row for row in csv.DictReader(file)}
    assert (rows["joint"]["core hours at least"], rows["joint"]["core hours at most"]) == ("", "")
    assert rows["images"]["core hours at most"].endswith(" h")
    found = {one.what: one for one in rented(plan)}
    for what in ("cores, the networks on them as well", "shortest time, with any number of cores"):
        assert found[what].note.endswith(" (of what is known)")
    assert found["a core is one of"].note == "the machines that the logs are of"
    assert found["a core is one of"].low == ""


def test_the_shortest_time_is_that_of_what_waits_for_one_another(folder):
    """Two data sets side by side, and their networks on cores: no sum over all."""
    plan = make_plan(folder, measure_s=9, images=36_000)
    one = {row.what: row.low for row in rented(plan)}["shortest time, with any number of cores"]
    assert one == hours_words(36_000 + 5 * 4)
    more = replace(plan, jobs=(*plan.jobs, *(replace(job, place=("other", *job.place[1:])) for job in plan.jobs)))
    assert {row.what: row.low for row in rented(more)}["shortest time, with any number of cores"] == one


@pytest.mark.parametrize(
    ("seconds", "words"), [(36, "0.010 h"), (3600 * 1.26, "1.3 h"), (3600 * 1264, "1,300 h"), (0, "0 h")]
)
def test_hours_have_two_digits(seconds, words):
    assert hours_words(seconds) == words


# -------------------------------------------------------------------------------------------------- page


def test_the_page_fits_a_terminal_and_ends_with_one_line(tmp_path):
    write_logs(tmp_path)
    plan = a_plan(tmp_path, tables=a_table("matching", ("unet", "live"), ("dino", "global"), ("dino", "final")))
    lines = page(plan).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[-1] == "ready"
    assert not any(line != line.rstrip() for line in lines)
    assert "total" in page(plan)
    again = json.loads(json.dumps(plan.as_dict()))
    assert again["ready"] is True
    assert again["totals"]["passes"] == 36 + 12
    unknown = {one["stage"] for one in again["jobs"] if one["low_s"] is None}
    assert unknown == {"joint", "vectors", "segments", "matching", "tables"}


def test_what_figures_leave_out_and_whose_eyes_are_new_to_photographs_is_said():
    shown = {"kind": "pictures", "dataset": "few", "images": 5, "columns": [{"show": "image", "heading": "h"}]}
    figures = {
        "part": {**shown, "photographs": "dino"},
        "whole": {**shown, "photographs": "dino", "images": 12},
        "photos": {**shown, "dataset": "own", "columns": [REGIONS]},
    }
    more = {"datasets": {"own": {"kind": "photos"}}, "views": {"native": {"protocol": "centre_crop", "size_px": 64}}}
    plan = a_plan(figures=figures, **more)
    count = plan.data["own"][1]
    assert set(plan.cautions) == {
        "own through dino: made for rendered scenes, which see little in photographs",
        "own through view native: of each image the square in its middle",
        "figure part: 5 of 12 images of few",
        f"figure photos: 5 of {count} images of own",
    }
    assert "to know\n  - own through dino" in page(plan)
    assert "to know" not in page(a_plan())


def test_a_page_without_hours_says_so():
    assert "No log tells how long jobs take" in page(a_plan())
