"""What a run will do, before it does it: planted configurations, closed forms, and one real extraction."""

import json
from pathlib import Path

import pytest
import torch

import whatwhere.config
from whatwhere.app.plan import configured, make_plan, merged, page
from whatwhere.app.plan.machine import GPU_UTILISATION, GPUS, Rate, cpu_rate, gpu_rate
from whatwhere.app.plan.network import Layer, Network, network
from whatwhere.app.plan.units import bytes_words, flop_words, time_words
from whatwhere.app.plan.work import PROBES, mini_batches, passed_images, solving, whole_set
from whatwhere.artifacts.errors import InputError
from whatwhere.config import BackboneSettings

#: A machine of round numbers: a second is 1e9 operations, 1e9 bytes.
ROUND = Rate("CPU (planted)", 1e9, 1e9, 1e9)
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


def a_plan(**changes):
    return make_plan(whatwhere.config.parse(a_tree(**changes)), cpu=ROUND)


def a_table(kind, *runs):
    rows = [{"labels": ["x"], "backbone": backbone, "method": method} for backbone, method in runs]
    return {"one": None, "two": {**TABLE, "kind": kind, "datasets": ["few"], "rows": rows}}


def by_backbone(plan):
    return {row.backbone: row for row in plan.forward}


# --------------------------------------------------------------------------------------------- overlays


def test_overlays_merge_as_the_workflow_merges_them():
    update_config = pytest.importorskip("snakemake.utils").update_config
    trees = [
        {"a": {"x": 1, "y": {"z": [1, 2]}}, "b": {"c": 1}, "d": 1},
        {"a": {"y": {"z": [3], "w": None}}, "b": None, "d": {"e": 2}},
        {"b": {"c": {"f": 3}}, "a": {"x": {"deep": 1}}},
    ]
    by_the_workflow = json.loads(json.dumps(trees[0]))
    for tree in trees[1:]:
        update_config(by_the_workflow, json.loads(json.dumps(tree)))
    assert merged(*trees) == by_the_workflow
    assert trees[0]["a"]["y"] == {"z": [1, 2]}  # what is given stays as it is


def test_null_takes_an_entry_away_and_lists_replace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_yaml(Path("config.yaml"), a_tree())
    write_yaml(
        Path("less.yaml"), {"tables": {"one": {"rows": [{"labels": ["x"], "backbone": "dino", "method": "exact"}]}}}
    )
    write_yaml(Path("none.yaml"), {"backbones": {"unet": None}})
    config = configured([Path("less.yaml"), Path("none.yaml")])
    assert list(config.backbones) == ["dino"]
    assert len(config.tables["one"].rows) == 1
    assert config.run == "planted"  # of config.yaml


def test_a_missing_overlay_and_one_that_is_no_yaml_are_a_line_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"nowhere\.yaml: expected a configuration file"):
        configured([Path("nowhere.yaml")])
    with pytest.raises(InputError, match=r"config\.yaml: expected a configuration, found no such file"):
        configured([])
    Path("bad.yaml").write_text("a: [", "utf-8")
    with pytest.raises(InputError, match=r"bad\.yaml: expected YAML"):
        configured([Path("bad.yaml")])


def test_an_environment_variable_that_is_not_set_is_missing_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PLANTED_DATA", raising=False)
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": "folder", "root": "${PLANTED_DATA}/photos"}}
    write_yaml(Path("config.yaml"), tree)
    plan = make_plan(configured([]), cpu=ROUND)
    assert [one.what for one in plan.missing] == ["data set few"]
    assert "PLANTED_DATA" in plan.missing[0].how
    assert plan.data[0].images is None
    assert page(plan).splitlines()[-1] == "not ready, missing: data set few"
    monkeypatch.setenv("PLANTED_DATA", str(tmp_path))
    assert "PLANTED_DATA" not in page(make_plan(configured([]), cpu=ROUND))


# ------------------------------------------------------------------------------------------------ passes


def test_passes_are_images_times_noise_samples():
    rows = by_backbone(a_plan())
    assert (rows["dino"].passes, rows["unet"].passes) == (12, 48)
    assert rows["dino"].size == (64, 64)
    assert rows["unet"].graphs == 4 * 28


def test_a_limit_counts_and_a_backbone_that_nothing_asks_for_does_not():
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": "voc", "root": "nowhere/voc", "limit": 7}}
    tree["tables"]["one"]["rows"].pop()
    tree["views"]["native"] = {"protocol": "square", "size_px": 64, "multiple_px": 16}
    plan = make_plan(whatwhere.config.parse(tree), cpu=ROUND)
    assert [(row.backbone, row.passes) for row in plan.forward] == [("dino", 7)]
    assert [(one.what, one.into) for one in plan.downloads] == [("voc2012", "nowhere/voc")]
    assert plan.downloads[0].bytes == 1_999_639_040
    assert plan.data[0].state == "downloaded"
    assert not plan.missing


@pytest.mark.parametrize(
    ("kind", "images"), [("voc", 1449), ("cocostuff27", 2175), ("coco", 5000), ("cityscapes", 500)]
)
def test_published_sets_are_counted_without_their_files(kind, images):
    tree = a_tree()
    tree["datasets"] = {"few": {"kind": kind, "root": "nowhere"}}
    plan = make_plan(whatwhere.config.parse(tree), cpu=ROUND)
    assert plan.data[0].images == images
    assert by_backbone(plan)["unet"].passes == 4 * images
    lacking = [one.what for one in plan.missing if "disk" not in one.what]
    assert lacking == (["data set few"] if kind == "cityscapes" else [])  # which is behind a login


def test_a_live_solver_runs_the_network_for_every_batch_and_leaves_no_features():
    plan = a_plan(tables=a_table("matching", ("unet", "live")))
    (row,) = plan.forward
    # 12 images in batches of 5 are 3 batches of 4; one noise sample each
    assert (row.purpose, row.images, row.passes, row.store_bytes) == ("live", 36, 36, None)
    assert not any(stage.name == "features" for stage in plan.stages)


def test_a_cached_solver_reads_features_and_true_labels_need_none_where_none_are_kept():
    runs = a_table("position", ("unet", "cached"), ("dino", "truth"))
    purposes = {(row.backbone, row.purpose) for row in a_plan(tables=runs).forward}
    assert purposes == {("unet", "features"), ("dino", "features")}
    purposes = {(row.backbone, row.purpose) for row in a_plan(tables=runs, features={"keep": False}).forward}
    assert purposes == {("unet", "features")}


def test_what_is_timed_is_one_image():
    (row,) = a_plan(tables=a_table("seconds", ("dino", "exact"))).forward
    assert (row.purpose, row.passes) == ("timing", 6)


# ------------------------------------------------------------------------------------------------- costs


@pytest.mark.parametrize(("height", "width"), [(448, 448), (224, 320)])
def test_operations_of_a_transformer_are_those_of_the_closed_form(height, width):
    found = network(BackboneSettings(model="dino-vits16", view="any"), height, width)
    patches, depth, channels = height * width // 256, 12, 384
    tokens = patches + 1
    each = 12 * tokens * channels**2 + 2 * tokens**2 * channels  # projections and MLP; QKᵀ and its product with V
    closed = 2 * (depth * each + patches * channels * 3 * 256)
    assert found.flop == pytest.approx(closed, rel=0.02)
    assert found.layers[0] == Layer("blocks.0.attn", (height // 16, width // 16), 6, 64)
    assert found.parameters == pytest.approx(21.67e6, rel=0.01)


@pytest.mark.parametrize(
    ("model", "millions"),
    [("stable-diffusion-v1-4", 859.52 + 83.65 + 123.06), ("clip-vit-b16", 149.62)],
)
def test_hub_models_are_counted_without_the_hub(model, millions):
    found = network(BackboneSettings(model=model, view="any"), 512, 512)
    assert found.parameters / 1e6 == pytest.approx(millions, rel=1e-4)
    assert found.samples == (8 if "diffusion" in model else 1)
    assert (found.image_flop > 0) == ("diffusion" in model)


def test_the_layers_of_stable_diffusion_are_the_sixteen_of_table_2():
    found = network(BackboneSettings(model="stable-diffusion-v1-4", view="any"), 512, 512)
    sides = [layer.grid[0] for layer in found.layers]
    assert sides == [64, 64, 32, 32, 16, 16, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    assert {layer.heads for layer in found.layers} == {8}
    few = network(BackboneSettings(model="stable-diffusion-v1-4", view="any", layers=("*mid_block*",)), 512, 512)
    assert [layer.grid for layer in few.layers] == [(8, 8)]
    assert few.flop == found.flop  # the rest runs all the same


def test_an_unknown_architecture_is_an_empty_cell_with_a_reason():
    plan = a_plan(backbones={"dino": {"model": "nobody/never-published"}})
    row = by_backbone(plan)["dino"]
    assert (row.passes, row.flop, row.gpu_s, row.store_bytes) == (None, None, None, None)
    assert any("nobody/never-published" in reason and "its configuration" in reason for reason in plan.unknown)
    assert by_backbone(plan)["unet"].passes == 48
    assert "empty cells" in page(plan)


def test_a_view_that_does_not_fit_the_patches_is_an_empty_cell_with_a_reason():
    plan = a_plan(datasets={"few": {"size_px": 68}}, views={"native": {"multiple_px": 4}})
    assert any("multiples of its 8 px patches" in reason for reason in plan.unknown)


def test_hours_are_operations_over_peak_and_utilisation():
    plan = make_plan(whatwhere.config.parse(a_tree()), gpu="rtx-4090", cpu=ROUND)
    row = by_backbone(plan)["dino"]
    assert plan.gpu == "RTX 4090"
    assert row.gpu_s == pytest.approx(row.flop / (GPU_UTILISATION * GPUS["RTX 4090"].float32_tflops * 1e12))
    assert row.cpu_s == pytest.approx(row.flop / 1e9)
    with pytest.raises(InputError, match="--gpu: expected one of A10, A40"):
        gpu_rate("abacus")


def test_half_precision_is_faster_on_a_gpu_and_only_there():
    options = {"t_min": 0, "t_max": 500, "samples": 4}
    single, half = (
        by_backbone(a_plan(backbones={"unet": {"options": {**options, "precision": precision}}}))["unet"]
        for precision in ("float32", "bfloat16")
    )
    assert half.gpu_s < 0.6 * single.gpu_s
    assert half.cpu_s == pytest.approx(single.cpu_s)


def planted_network(samples=1):
    layers = (Layer("down_blocks.0.a", (4, 4), 2, 8), Layer("mid_block.b", (2, 2), 2, 8))
    return Network(layers, samples, 0.0, 1.0, 1, 16, 8)


def a_method(**settings):
    return whatwhere.config.parse(a_tree(methods={"planted": settings})).methods["planted"]


def test_folding_is_a_product_of_queries_and_keys_for_every_graph():
    found = solving(planted_network(samples=3), a_method(kind="exact"))
    assert found.flop == 3 * 2 * (16**2 + 4**2) * 2 * 8
    part = solving(planted_network(), a_method(kind="exact", layers=["grid:2x2"]))
    assert part.flop == 2 * 4**2 * 2 * 8


def test_a_descent_costs_one_product_a_resolution_and_pass():
    exact = solving(planted_network(), a_method(kind="exact"))
    method = {"kind": "gradient", "operator": "normalised", "vectors": 10}
    few, many = (solving(planted_network(), a_method(**method, steps=steps)) for steps in (100, 200))
    assert (few.passes, many.passes) == (100, 200)
    assert many.flop - few.flop == pytest.approx(100 * 2 * 16 * (16**2 + 4**2))
    assert few.flop > exact.flop


def test_neighbours_cost_every_pair_of_locations_of_a_batch_or_of_the_set():
    method = a_method(kind="global", layers=["mid_block*"])
    assert whole_set(planted_network(samples=2), 6, method, cuda=False).flop == 2 * 2 * (6 * 4) ** 2 * 16
    batches = a_method(kind="minibatch", layers=["mid_block*"], batch_images=3, batches=4, vectors=2, steps=1)
    searched = 4 * 2 * (3 * 4) ** 2 * 16
    assert searched < mini_batches(planted_network(), 6, batches).flop < 2 * searched
    assert passed_images(6, batches) == 12


def test_the_processor_clusters_and_refines_an_image_a_core(monkeypatch):
    monkeypatch.setattr("whatwhere.app.plan.solves.cores", lambda: 4)
    (regions,) = a_plan().beside
    tokens = {"dino": 8 * 8, "unet": 16 * 16}  # of the finest layers
    one_core = sum(12 * 9 * (7e-6 * n + 6e-9 * n**2) for n in tokens.values())
    assert (regions.images, regions.cpu_s) == (24, pytest.approx(one_core / 4))
    table = a_table("matching", ("dino", "final"))
    table["two"]["rows"][0]["crf"] = True
    (crf,) = a_plan(tables=table).beside
    assert (crf.images, crf.cpu_s) == (12, pytest.approx(12 * 9e-8 * 64 * 64 * 16 * 10 / 4))


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


def test_the_processor_cuts_graphs_finds_masks_of_objects_and_refines_those_of_others(monkeypatch):
    monkeypatch.setattr("whatwhere.app.plan.solves.cores", lambda: 4)
    rows = {one.what: (one.images, one.cpu_s) for one in a_plan(**objects_and_cuts()).beside}
    tokens, image = 8 * 8, 64 * 64
    clustered = 12 * 9 * (7e-6 * tokens + 6e-9 * tokens**2)
    assert rows == {
        # a cut each for TokenCut and NCut, and for each mask of MaskCut
        "TokenCut, MaskCut, NCut": (36, pytest.approx(12 * (1 + 3 + 1) * 1e-10 * tokens**3 / 4)),
        "regions: K-means and silhouettes": (24, pytest.approx(2 * clustered / 4)),
        "masks of objects": (12, pytest.approx(12 * 9 * 33 * 7e-10 * tokens**2 / 4)),
        "CRF of their masks": (24, pytest.approx(12 * (2 + 3) * 9e-8 * image * 5 * 10 / 4)),
    }
    without = a_plan(**objects_and_cuts(proposals={"crf": None})).beside
    assert [one.what for one in without] == [what for what in rows if what != "CRF of their masks"]


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


def test_the_index_is_looked_through_as_the_search_does():
    from whatwhere.method.joint import search

    assert search._Index.PROBES == PROBES


def test_this_processor_is_measured_in_half_a_second():
    found = cpu_rate()
    assert 1e8 < found.flop_s < 1e14
    assert 1e8 < found.bytes_s < 1e14


# -------------------------------------------------------------------------------------------------- disk


@pytest.mark.parametrize("values", [False, True])
def test_disk_is_what_a_small_extraction_writes(tmp_path, values):
    written = extracted_bytes(tmp_path, values)
    method = {"methods": {"exact": {"pathway": "vv" if values else "qk"}}}
    plan = a_plan(**method, tables={"one": {"rows": [{"labels": ["x"], "backbone": "unet", "method": "exact"}]}})
    assert by_backbone(plan)["unet"].store_bytes == pytest.approx(written["features"], rel=0.05)
    sizes = {stage.name: stage.kept_bytes for stage in plan.stages}
    assert sizes["features"] == by_backbone(plan)["unet"].store_bytes
    assert sizes["images and labels"] == pytest.approx(written["images"], rel=0.05)
    assert sizes["vectors of images"] == pytest.approx(written["vectors"], rel=0.05)


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
        plan = a_plan(features={"keep": False}, tables=a_table("matching", ("dino", method)))
        (stage,) = (stage for stage in plan.stages if stage.name == "features")
        return by_backbone(plan)["dino"].store_bytes, stage

    whole, stage = needs("final")
    assert (stage.kept_bytes, stage.peak_bytes) == (0, pytest.approx(whole / 3))  # shards of 4 of 12 images
    assert "at least" in stage.note
    assert "several may wait" in stage.note
    whole, stage = needs("global")
    assert (stage.kept_bytes, stage.peak_bytes) == (0, pytest.approx(whole))


def test_a_disk_that_is_too_small_is_missing(monkeypatch):
    monkeypatch.setattr("whatwhere.app.plan.disk.free_bytes", lambda folder: 1000.0)
    plan = a_plan()
    assert plan.missing[-1].what.endswith("GB of disk")


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
    plan = make_plan(whatwhere.config.parse(tree), cpu=ROUND)
    assert [one.what for one in plan.downloads] == ["openai/clip-vit-base-patch16", "stego-cocostuff27"]
    assert plan.downloads[0].bytes == pytest.approx(4 * 149.62e6, rel=1e-3)
    assert plan.downloads[1].into == str(tmp_path)
    assert not plan.missing


# -------------------------------------------------------------------------------------------------- page


def test_the_page_fits_a_terminal_and_ends_with_one_line():
    plan = a_plan(tables=a_table("matching", ("unet", "live"), ("dino", "global"), ("dino", "final")))
    lines = page(plan).splitlines()
    assert max(map(len, lines)) <= 120
    assert lines[-1] == "ready"
    assert not any(line != line.rstrip() for line in lines)
    again = json.loads(json.dumps(plan.as_dict()))
    assert again["ready"] is True
    assert again["totals"]["passes"] == 36 + 12


def test_numbers_have_sensible_units():
    assert [time_words(s) for s in (None, 0, 0.2, 42, 2100, 14760, 3e6)] == [
        "",
        "-",
        "< 1 s",
        "42 s",
        "35 min",
        "4.1 h",
        "35 days",
    ]
    assert [bytes_words(b) for b in (None, 12.3e9, 999.9e6, 512)] == ["", "12.3 GB", "1 GB", "512 B"]
    assert flop_words(7.5e12) == "7.5 TFLOP"


def write_yaml(path, tree):
    import yaml

    path.write_text(yaml.safe_dump(tree), "utf-8")
