"""`whatwhere bench dataset`: planted growth is found, memory is what it is said to be, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from whatwhere.app.bench import alone, dataset, growth, plan, worth
from whatwhere.app.bench.alone import FLOOR, run_alone
from whatwhere.app.bench.extract import bench_extract
from whatwhere.app.bench.growth import STABLE_DIFFUSION, Shape, on_paper, search_rate
from whatwhere.app.bench.page import page, write_page
from whatwhere.app.bench.plan import Plan, Run
from whatwhere.app.bench.solve import bench_solve
from whatwhere.app.cli import main
from whatwhere.artifacts.clock import machine, timed
from whatwhere.artifacts.errors import InputError
from whatwhere.artifacts.memory import memory_mb
from whatwhere.backbones import load_backbone
from whatwhere.datasets.record import Dataset, Record
from whatwhere.method.joint.search import nearest
from whatwhere.publish.figures.growth import Growth, draw_growth
from whatwhere.stages.matching import write_matching
from whatwhere.stages.timings import time_methods

TINY = Plan(images=(4, 8), vectors=5, batch_images=4, epochs=1)
LINES = [(solver, pathway) for solver in ("minibatch", "global", "landmarks") for pathway in ("vv", "qk")]


def run_here(job, folder, threads):
    """Stands for a process of its own: the same solve in this one."""
    return {**alone.measure(job), "anonymous_mb": 100.0 if job["kind"] == FLOOR else 100.0 + job["images"]}


@pytest.fixture(scope="module")
def bench():
    """A tiny benchmark with its solves in this process, what was reported, and the least regions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "run_alone", run_here)
        patch.setattr(growth, "RATE_LOCATIONS", 64)
        patch.setattr(worth, "RESAMPLES", 20)
        reported, least_px = [], []

        def matched(*stores, **settings):
            least_px.append(settings["least_px"])
            write_matching(*stores, **settings)

        patch.setattr(worth, "write_matching", matched)
        measured = dataset.bench_dataset("zoo-diffusion", TINY, report=reported.append)
    return measured, reported, set(least_px)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """Features of four scenes."""
    folder = tmp_path_factory.mktemp("shards")
    plan, backbone = replace(TINY, images=(2, 4), batch_images=2), load_backbone("zoo-diffusion")
    shards = dataset._extracted(backbone, plan, folder, dataset._shown(plan, None, backbone.size_px))
    return [str(features) for _, features in shards]


def job_of(shards, folder, kind, **method):
    """What a process is told: a solve of the fixture's four scenes."""
    plan = replace(TINY, images=(2, 4), batch_images=2)
    settings = plan.method(Run(4, kind, "vv", 1), dataset.UNET_LAYERS) | method
    output = str(folder / "x.json")
    fixed = {"inputs": shards, "output": output, "name": "bench", "seed": 0, "device": "cpu", "busy": False}
    return {"kind": kind, "images": 4, "method": settings, **fixed}


@pytest.fixture
def a_gpu(monkeypatch):
    """A torch that sees two GPUs, by their device."""
    names = {"cuda": "GPU 0", "cuda:1": "GPU 1"}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: names[str(device or "cuda")])


@pytest.mark.usefixtures("a_gpu")
class TestMachine:
    @pytest.mark.parametrize("kind", [str, torch.device])
    def test_a_gpu_is_named_where_it_computes(self, kind):
        on_cpu = machine(kind("cpu"))
        assert "GPU" not in on_cpu
        assert on_cpu.endswith(f", {torch.get_num_threads()} threads")
        assert machine(kind("cuda")) == f"GPU 0, {on_cpu}"
        assert machine(kind("cuda:1")) == f"GPU 1, {on_cpu}"

    def test_what_ran_on_the_cpu_names_no_gpu(self):
        backbone, image = load_backbone("zoo-dino"), np.zeros((64, 64, 3), np.uint8)
        measured = [
            bench_solve(backbone, size_px=64, vectors=2, descents=False),
            bench_extract(backbone, size_px=64, images=1),
            time_methods(backbone, image, {"exact": {"kind": "exact", "vectors": 2}}, regions={"clusters": 2}),
        ]
        assert {found["machine"] for found in measured} == {machine("cpu")}

    def test_a_data_set_is_solved_on_the_device_of_its_plan(self, monkeypatch):
        monkeypatch.setattr(dataset, "load_backbone", lambda *_, device, **__: load_backbone("zoo-diffusion"))
        for name in ("_extracted", "_on_paper"):
            monkeypatch.setattr(dataset, name, lambda *_: [])
        monkeypatch.setattr(dataset, "_measured", lambda *_: ([], []))
        for device, named in (("cpu", False), ("cuda:1", True)):
            measured = dataset.bench_dataset("zoo-diffusion", replace(TINY, device=device), report=lambda _: None)
            assert measured["machine"].startswith("GPU 1, ") == named


def test_every_solver_pathway_and_size_is_measured_beside_the_floor(bench):
    measured, *_ = bench
    found = [(run["images"], run["solver"], run["pathway"]) for run in measured["runs"]]
    assert sorted(found) == sorted((images, *line) for images in (4, 8) for line in LINES)
    assert [floor["images"] for floor in measured["floors"]] == [4, 8]
    for run in measured["runs"]:
        assert run["locations"] == 256 * run["images"]
        assert run["seconds"] > 0
        assert run["peak_memory_gb"] > 0.1
        expected = {
            "minibatch": f"{run['images'] // 4} mini-batches of 30 steps",
            "global": "largest residual",
            "landmarks": "4 images solved, 1024 landmarks, largest residual",
        }
        assert run["status"].startswith(expected[run["solver"]])
    assert [(line["solver"], line["pathway"]) for line in measured["growth"]] == LINES
    assert all(line["mb_per_1000_images"] == pytest.approx(1000) for line in measured["growth"])  # as planted


def test_solutions_are_scored_of_mini_batches_also_after_more_epochs(bench):
    scores = bench[0]["scores"]
    found = {(one["solver"], one["pathway"], one["images"], one["epochs"]) for one in scores}
    assert found == {(solver, p, n, 0) for p in ("vv", "qk") for solver in ("global", "landmarks") for n in (4, 8)} | {
        ("minibatch", p, n, e) for p in ("vv", "qk") for n, e in ((4, 1), (8, 1), (8, 2), (8, 8))
    }
    for one in scores:
        assert one["seconds"] > 0
        for target in ("what", "where"):
            assert 0 < one[target] < 1
            assert one[f"{target}_low"] < one[f"{target}_high"]
    assert Plan(images=(32, 64, 128)).longer == 64
    assert Plan(images=(128, 256)).longer == 128


def test_scores_are_paired_with_the_global_solvers_of_the_same_images(bench):
    scores = bench[0]["scores"]
    whole = {(one["pathway"], one["images"]): one for one in scores if one["solver"] == "global"}
    for one in scores:
        assert not any(key.endswith("_draws") for key in one)
        if one["solver"] == "global":
            assert "what_more" not in one
            continue
        other = whole[one["pathway"], one["images"]]
        for target in ("what", "where"):
            assert one[f"{target}_more"] == pytest.approx(one[target] - other[target])
            assert one[f"{target}_more_low"] <= one[f"{target}_more_high"]
    draws = {f"{target}_draws": np.array([[0.5, 0.25, 0.75]]) for target in ("what", "where")}
    same, less = ({"solver": s, "pathway": "vv", "images": 4, **draws} for s in ("global", "landmarks"))
    less |= {"what_draws": draws["what_draws"] - 0.25}
    (_, found) = worth.paired([same, less])
    assert [found[f"what_more{end}"] for end in ("", "_low", "_high")] == [-0.25] * 3  # no wider than the difference
    assert found["where_more"] == 0


@pytest.mark.parametrize(("side", "least"), [(320, 50), (640, 200), (64, 2), (16, 1)])
def test_a_small_region_is_the_same_part_of_every_view(side, least):
    assert worth._least_px(50, side) == least


def test_where_counts_regions_as_small_as_the_view_is(bench):
    assert bench[2] == {worth._least_px(50, load_backbone("zoo-diffusion").size_px)}


def test_the_folder_is_announced_and_gone(bench):
    line = bench[1][0]
    folder = Path(next(word for word in line.split() if "whatwhere-bench-" in word))
    assert "GB" in line
    assert "8 scenes" in line
    assert not folder.exists()


def test_the_page_the_numbers_and_the_picture_are_written(bench, tmp_path):
    measured, *_ = bench
    write_page(measured, tmp_path / "new" / "out")
    files = tmp_path / "new" / "out"
    assert {file.name for file in files.iterdir()} == {"bench.json", "bench.md", "bench.csv", "bench.png"}
    assert json.loads((files / "bench.json").read_text()) == json.loads(json.dumps(measured))
    text = (files / "bench.md").read_text()
    assert text == page(measured) + "\n"
    assert text.count("| mini-batches | V-V |") == 3  # two sizes, and how they grow
    lines = (files / "bench.csv").read_text().splitlines()
    assert len(lines) == 1 + len(measured["runs"])
    assert lines[0].startswith("solver,pathway,images,seconds")
    assert "Arithmetic, not measured" in text
    assert "118,287 | 121,125,888 | 8 |" in text
    for line in text.split("\n"):
        assert "nan" not in line
    with pytest.raises(InputError, match="--out"):
        write_page(measured, files / "bench.md" / "below")


def test_the_first_photographs_are_looked_at_and_no_fewer_than_asked_for():
    records = [Record(f"{number}", image=lambda: np.zeros((8, 8, 3), np.uint8)) for number in range(9)]
    photographs = Dataset("photographs", tuple(records), ("a", "b"))
    assert [one.id for one in dataset._shown(TINY, photographs, 64).records] == [f"{n}" for n in range(8)]
    with pytest.raises(InputError, match="--images: expected at most the 7 photographs that there are, got 8"):
        dataset._shown(TINY, replace(photographs, records=photographs.records[:7]), 64)


def test_the_processors_seconds_do_not_count_waiting():
    waited, used = (timed(lambda: time.sleep(0.2), busy=busy)[0] for busy in (False, True))
    assert used < 0.1 < waited


def test_a_unet_is_solved_at_the_papers_layers_and_others_at_all():
    _, patterns, _ = dataset._layout(load_backbone("zoo-diffusion"), TINY)
    assert patterns == ("block:mid", "up:6")
    layers, patterns, bytes_each = dataset._layout(load_backbone("zoo-dino"), TINY)
    assert patterns == ("*",)
    (shape,) = dataset._shapes(layers)
    assert shape.count == len(layers)
    assert bytes_each > 2 * 3 * shape.count * shape.tokens * shape.width


def test_what_is_stored_is_what_was_announced(shards):
    """But for X, of one vector here, which comes later, and for what says what there is."""
    _, _, bytes_each = dataset._layout(load_backbone("zoo-diffusion"), replace(TINY, vectors=1))
    files = [file for file in Path(shards[0]).parent.rglob("*") if file.is_file() and file.suffix != ".json"]
    there = sum(file.stat().st_size for file in files)
    assert there == pytest.approx(4 * bytes_each, rel=0.1)


def test_anonymous_memory_is_what_was_allocated_and_not_what_is_mapped(tmp_path):
    np.save(tmp_path / "mapped.npy", np.ones(6_000_000))
    before = memory_mb("self", "RssAnon")
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="r+")
    mapped += 1.0
    assert memory_mb("self", "RssAnon") - before < 10
    held = np.ones(6_000_000)
    assert memory_mb("self", "RssAnon") - before == pytest.approx(48, abs=10)
    assert memory_mb("self", "VmHWM") > 48
    assert held.sum() * 2 == mapped.sum()


def test_a_process_of_its_own_starts_at_its_own_floor(shards, tmp_path):
    """Also where the one that starts it is large, and with as many threads as it is told."""
    held = np.ones(150_000_000)
    found = run_alone(job_of(shards, tmp_path, FLOOR), tmp_path, threads=1)
    assert memory_mb("self", "RssAnon") > held.nbytes / 1e6
    assert 1e3 * found["peak_memory_gb"] < held.nbytes / 1e6
    assert 50 < found["anonymous_mb"] <= 1e3 * found["peak_memory_gb"]
    assert found["locations"] == 4 * 256
    assert found["threads"] == 1


def test_a_solve_that_fails_is_one_line(shards, tmp_path):
    with pytest.raises(InputError, match=r"global solve of 4 images: .* got vectors: expected fewer than the 1024 loc"):
        run_alone(job_of(shards, tmp_path, "global", vectors=2000), tmp_path, threads=1)
    (tmp_path / "none.txt").touch()
    assert alone._fault(-9, tmp_path / "none.txt").startswith("signal 9")


def test_where_there_is_no_linux_memory_is_not_guessed(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError(2, "No such file")))
    with pytest.raises(InputError, match="Linux"):
        memory_mb("self", "RssAnon")


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_an_interrupted_benchmark_leaves_nothing(monkeypatch, how):
    folders = []

    def stop(job, folder, threads):
        folders.append(folder)
        assert any(folder.iterdir())
        if how == "interrupt":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(dataset, "run_alone", stop)
    with pytest.raises(KeyboardInterrupt):
        dataset.bench_dataset("zoo-diffusion", TINY, report=lambda _: None)
    assert not folders[0].exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_disk_that_is_too_small_is_noticed_first(monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(dataset.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"--images: expected room for .* TMPDIR"):
        dataset.bench_dataset("zoo-diffusion", TINY, report=lambda _: None)


def test_planted_growth_is_found():
    images = (32, 64, 128, 256)
    runs = [
        {"solver": s, "pathway": p, "images": n, "seconds": 3.0 * n**power, "anonymous_mb": 307.0 + n + slope * n}
        for s, p, power, slope in (("minibatch", "vv", 1, 0), ("global", "vv", 2, 2.5))
        for n in images
    ]
    flat, square = growth.growth(runs, {n: 300.0 + n for n in images})
    assert (flat["power"], flat["last_power"], flat["mb_per_1000_images"]) == pytest.approx((1, 1, 0), abs=1e-6)
    assert (square["power"], square["last_power"], square["mb_per_1000_images"]) == pytest.approx((2, 2, 2500))


@pytest.mark.parametrize("shape", [Shape(1, 16, 12), Shape(1, 100, 5)])
def test_arithmetic_counts_the_operations_of_a_real_search(shape):
    images = 20
    rows = torch.nn.functional.normalize(torch.randn(images, shape.tokens, shape.width), dim=-1)
    with FlopCounterMode(display=False) as counted:
        nearest(rows, rows, inside=10, across=10, search="exact")
    found = on_paper([shape], {shape: 1e9}, images=images, vectors=5, samples=1, batch_images=10)
    assert 1e12 * found["whole_tflop"] == counted.get_total_flops()
    assert found["whole_s"] == pytest.approx(1e3 * found["whole_tflop"])
    assert found["epoch_tflop"] < found["whole_tflop"]
    assert search_rate(replace(shape, count=3), "cpu") > 0


def test_arithmetic_of_stable_diffusion():
    """Section 4.2's layers by hand: 3,031,040 numbers of Q (and of K, and of V) an image, X of 32 × 32 × 50."""
    rates = dict.fromkeys(STABLE_DIFFUSION, 1e12)
    one = on_paper(STABLE_DIFFUSION, rates, images=2175, vectors=50, samples=1)
    assert sum(shape.count for shape in STABLE_DIFFUSION) == 7
    assert one["features_gb"] == pytest.approx(3_031_040 * 3 * 2 * 2175 / 1e9)
    assert one["state_gb"] == pytest.approx(2175 * 1024 * 50 * 4 * 3 / 1e9)
    assert one["batches_tflop"] == pytest.approx(one["epoch_tflop"] * 2100 * 160 / 2175)
    twice = on_paper(STABLE_DIFFUSION, rates, images=4350, vectors=50, samples=2)
    assert twice["epoch_tflop"] == pytest.approx(2 * one["epoch_tflop"])  # an epoch sees one sample of each image
    assert twice["whole_tflop"] == pytest.approx(8 * one["whole_tflop"], rel=1e-3)
    assert twice["features_gb"] == pytest.approx(4 * one["features_gb"])


BAD = {
    "one size": (["--images", "32"], "--images: expected at least two sizes"),
    "shrinking": (["--images", "64", "32"], "--images: expected sizes that grow, got 64 32"),
    "twice the same": (["--images", "32", "32"], "--images: expected sizes that grow"),
    "no multiple": (["--images", "32", "48"], "--images: expected multiples of the smallest size"),
    "no images": (["--images", "0", "4"], "--images: expected multiples of the smallest size, which is 2 or more"),
    "batch": (["--images", "4", "8", "--batch", "5"], "--batch: expected at most the 4 images of the smallest set"),
    "no batch": (["--batch", "0"], "--batch: expected a whole number from 1, got 0"),
    "no epochs": (["--epochs", "0"], "--epochs: expected a whole number from 1"),
    "no vectors": (["--vectors", "0"], "--vectors: expected a whole number from 1"),
    "vectors": (["--images", "4", "8", "--batch", "4", "--vectors", "1024"], "--vectors: expected fewer than 1024"),
    "backbone": (["--backbone", "zoo-difusion"], "near it are zoo-diffusion"),
    "no sample": (["--sample", "0"], "--sample: expected a whole number from 1, got 0"),
    "photos alone": (["--photos", "."], "--photos: expected --photos, --labels and --classes together"),
    "out": (["--out", "/proc/none"], "--out /proc/none: expected a folder that can be made"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_choices_are_one_line_and_status_2(case, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, message = BAD[case]
    with pytest.raises(SystemExit) as caught:
        main(["bench", "dataset", *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert message in line
    assert not any(tmp_path.iterdir())


def test_help_has_examples_and_needs_no_torch():
    code = (
        "import sys; from whatwhere.app.cli import main\n"
        "try: main(['bench', 'dataset', '--help'])\nfinally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "whatwhere bench dataset --images 8 16 32" in done.stdout


@pytest.mark.slow
def test_from_the_command_line_in_processes_of_their_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(growth, "RATE_LOCATIONS", 64)
    monkeypatch.setattr(plan, "TIMES_EPOCHS", ())  # which is a process more each
    small = ["--images", "4", "8", "--pathway", "vv", "--batch", "4", "--vectors", "5", "--epochs", "1"]
    main(["bench", "dataset", *small, "--out", str(tmp_path / "out"), "--json"])
    measured = json.loads(capsys.readouterr().out)
    assert {run["pathway"] for run in measured["runs"]} == {"vv"}
    for run in measured["runs"]:
        assert 1e3 * run["peak_memory_gb"] >= run["anonymous_mb"] > 50
    assert (tmp_path / "out" / "bench.png").is_file()


def two_panels(scale=1.0):
    """Seconds that grow linearly and quadratically, and a flat line of memory."""
    n = np.array([32.0, 64.0, 128.0])
    return {
        "seconds": {"linear": Growth(n, scale * n), "square": Growth(n, scale * n**2)},
        "memory": {"linear": Growth(n, np.full(3, 120.0))},
    }


def test_the_picture_is_logarithmic_with_slopes_one_and_two():
    from whatwhere.publish.figures.growth import plot_growth

    figure = plot_growth(two_panels(), x_label="images")
    for axes in figure.axes:
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        assert [text.get_text() for text in axes.texts] == ["∝ n", "∝ n²"]
        slopes = [np.polyfit(*np.log([line.get_xdata(), line.get_ydata()]), 1)[0] for line in axes.lines[-2:]]
        assert slopes == pytest.approx([1, 2])
    drawn = figure.axes[0].lines[1]
    assert drawn.get_marker() not in ("", "None")
    assert np.array_equal(drawn.get_ydata(), two_panels()["seconds"]["square"].y)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["linear", "square"]


def test_the_same_points_give_the_same_picture(tmp_path):
    for name in ("a", "b"):
        draw_growth(two_panels(), tmp_path / f"{name}.png", title="t", x_label="images", caption="c")
    draw_growth(two_panels(2.0), tmp_path / "c.png", title="t", x_label="images", caption="c")
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    with pytest.raises(InputError, match="at least one line"):
        draw_growth({"seconds": {}}, tmp_path / "none.png", title="", x_label="")
    for x, y in (([1.0], [1.0]), ([1.0, 2.0], [0.0, 1.0]), ([1.0, 2.0], [np.nan, 1.0])):
        with pytest.raises(InputError, match="growth: expected"):
            Growth(np.array(x), np.array(y))
    assert not (tmp_path / "none.png").exists()


def test_the_picture_needs_no_torch():
    code = "import whatwhere.publish.figures.growth, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
