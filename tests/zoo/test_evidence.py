"""The zoo's evidence: probes and AUC against planted answers, and cards that say what the numbers say."""

import json
from functools import partial

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate import presence, probe
from whatwhere.evaluate.oracle import mean_iou
from whatwhere.evaluate.probe import Labelled, Split, Tokens
from whatwhere.zoo.training import card, evidence, pictures

GRID, SIZE_PX, CLASSES = (4, 4), 16, 3
SIZES = {"train_images": 1, "select_images": 1, "test_images": 1, "size_px": 64}


def planted(images, seed):
    """Images of one class per token, whose number is their brightness."""
    tokens = np.random.default_rng(seed).integers(0, CLASSES, (images, *GRID))
    labels = tokens.repeat(4, axis=1).repeat(4, axis=2)
    shown = np.repeat(80 * labels[..., None], 3, axis=-1)
    return Labelled(shown.astype(np.uint8), labels.astype(np.int16))


def halves(images, seed):
    """Images of two classes, above and below a line: their outlines survive interpolation."""
    labels = np.zeros((images, SIZE_PX, SIZE_PX), np.int16)
    for image, row in zip(labels, np.random.default_rng(seed).integers(1, 4, images), strict=True):
        image[4 * row :] = 1
    return Labelled(np.repeat(80 * labels[..., None], 3, axis=-1).astype(np.uint8), labels)


def brightness(images, signal=1.0):
    """Features whose first channel is the token's class; the others, and without signal all, are noise."""
    pixels = evidence.patches(images, GRID).features.mean(-1)
    noise = np.random.default_rng(images.sum()).standard_normal((*pixels.shape, 5))
    noise[..., 0] = signal * pixels + (1 - signal) * noise[..., 0]
    return {"layer": Tokens(noise.astype(np.float32), GRID)}


def compare(read, make):
    split = Split(make(24, 0), make(8, 1), make(12, 2))
    return probe.compare_layers(read, split, classes=CLASSES, tokens_per_image=8, resamples=50, seed=0, what="planted")


# ------------------------------------------------------------------------------------------------ probe


def test_planted_features_are_read_perfectly():
    found = compare(brightness, halves)
    assert found["miou"] == 1
    assert found["interval"] == [1, 1]


def test_features_without_the_class_score_like_chance():
    found = compare(partial(brightness, signal=0.0), planted)
    # a guess among three equally common classes overlaps with 1/9 of 5/9
    assert found["miou"] < 0.25
    assert found["interval"][0] <= found["miou"] <= found["interval"][1]


def test_the_layer_is_chosen_on_other_images_than_it_is_scored_on():
    def two(images):
        good, bad = (brightness(images, signal)["layer"] for signal in (1.0, 0.0))
        return {"bad": bad, "good": good}

    found = compare(two, halves)
    assert found["best"] == "good"
    assert [layer["layer"] for layer in found["layers"]] == ["bad", "good"]
    assert found["miou"] == found["layers"][1]["test"] > found["layers"][0]["test"]


def test_the_same_seed_gives_the_same_numbers():
    noisy = partial(brightness, signal=0.3)
    assert compare(noisy, planted) == compare(noisy, planted)


def test_confusion_by_hand():
    truth, answer = np.array([[0, 0, 0, 1, 1, -1]]), np.array([[0, 0, 1, 1, 1, 0]])
    confusions = probe.confusion(answer, truth, 2)
    np.testing.assert_array_equal(confusions, [[2, 1], [0, 2]])
    assert mean_iou(probe.counts(confusions[None]), shared_classes=True) == pytest.approx((2 / 3 + 2 / 3) / 2)


def test_counts_are_summed_over_images_before_division():
    confusions = np.array([[[2, 0], [0, 0]], [[3, 0], [1, 0]]])
    # label 0: 5 of 6; label 1: none of 1
    assert mean_iou(probe.counts(confusions), shared_classes=True) == pytest.approx(5 / 12)


def test_majority_leaves_out_ignored_pixels():
    labels = np.array([[[0, 1, -1, -1], [1, 2, -1, 2], [-1, -1, 1, 0], [-1, -1, 0, 1]]])
    np.testing.assert_array_equal(probe.majority_labels(labels, (2, 2), 3), [[1, 2, -1, 0]])
    with pytest.raises(InputError, match="divides 4 × 4 px evenly, got 3 × 2"):
        probe.majority_labels(labels, (3, 2), 3)


def test_tokens_are_sampled_per_image_and_never_ignored_ones():
    labels = np.array([[0, 1, 2, 0, 1, 2], [-1, -1, -1, -1, 1, -1]])
    chosen = probe.sample_tokens(labels, 3, rng=np.random.default_rng(0))
    assert chosen.sum(1).tolist() == [3, 1]
    assert chosen[1, 4]


def test_one_class_is_no_question():
    with pytest.raises(InputError, match="two classes or more"):
        probe.fit(np.zeros((4, 2)), np.ones(4, int))


# --------------------------------------------------------------------------------------------- presence


def test_planted_cosines():
    table = np.array([[1, 0, 1], [1, 1, 1], [0, 0, 1], [0, 1, 1]])
    cosines = np.where(table == 1, 0.9, 0.1) * [1, -1, 1]
    np.testing.assert_array_equal(presence.class_auc(cosines, table), [1, 0, np.nan])
    assert presence.mean_auc(cosines, table) == 0.5


def test_an_image_with_a_trace_of_a_class_is_left_out_for_it():
    labels = np.zeros((3, 20, 20), np.int16)
    labels[0, :10], labels[1, 0, :2] = 1, 1
    table = presence.presence_table(labels, 2, least_share=0.01)
    np.testing.assert_array_equal(table, [[1, 1], [1, -1], [1, 0]])
    # the left-out image would have been the nearest
    cosines = np.array([[0.0, 0.5], [0.0, 0.9], [0.0, 0.1]])
    assert presence.class_auc(cosines, table)[1] == 1


def test_interval_of_auc_holds_it_and_agrees_with_sklearn():
    rng = np.random.default_rng(0)
    table = rng.integers(-1, 2, (40, 4))
    cosines = rng.standard_normal((40, 4)).round(1) + 0.5 * (table == 1)
    once = np.ones((1, 40), int)
    found = [presence._resampled_auc(*column, once)[0] for column in zip(cosines.T, table.T, strict=True)]
    np.testing.assert_allclose(found, presence.class_auc(cosines, table))
    low, high = presence.bootstrap_interval(cosines, table, resamples=200, rng=rng)
    assert 0.4 < low < presence.mean_auc(cosines, table) < high < 1


# --------------------------------------------------------------------------------------------- evidence


@pytest.mark.parametrize("seeds", [range(30, 50), range(999_999, 1_000_001), range(1_500_000, 1_500_010)])
def test_scenes_of_the_training_and_the_evaluation_are_refused(seeds):
    with pytest.raises(InputError, match="change first_seed"):
        evidence.refuse_overlap(seeds, evidence.TRAINING_SEEDS)


@pytest.mark.parametrize(("first_seed", "trained_on"), [(1_000_000, None), (500_000, 500_002)])
def test_evidence_from_scenes_that_a_folder_was_trained_on_is_refused(tmp_path, first_seed, trained_on):
    if trained_on is not None:
        record = {"scenes": {"first_seed": trained_on, "scenes": 10, "size_px": 64}}
        (tmp_path / "training.json").write_text(json.dumps(record), "utf-8")
    with pytest.raises(InputError, match="apart from the training's"):
        evidence.measure("mae", tmp_path, first_seed=first_seed, seed=0, **SIZES)


def test_an_unknown_family_is_refused(tmp_path):
    with pytest.raises(InputError, match="dino, mae, clip, diffusion, got 'sam'"):
        evidence.measure("sam", tmp_path, first_seed=500_000, seed=0, **SIZES)


def test_patches_are_the_pixels_of_each_token():
    images = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(np.uint8)
    found = evidence.patches(images, (2, 2))
    np.testing.assert_allclose(found.features[1, 1].reshape(2, 2, 3), images[1, :2, 2:] / np.float32(255))


# ------------------------------------------------------------------------------------------------ cards


def found(family, *, trained=0.45, untrained=0.25, auc=0.9):
    def probed(miou):
        layer = {"layer": "blocks.0.attn", "grid": [16, 16], "select": miou, "test": miou}
        return {"best": "blocks.0.attn", "grid": [16, 16], "miou": miou, "interval": [0.1, 0.6], "layers": [layer]}

    def words(auc):
        classes = [{"label": "sky", "auc": auc, "present": 5, "absent": 3}]
        classes.append({"label": "sign", "auc": None, "present": 0, "absent": 8})
        return {"auc": auc, "interval": [auc, auc], "images": 8, "classes": classes}

    answer = {
        "family": family,
        "architecture": "A network.",
        "parameters": 1_500_000,
        "bytes": 3_000_000,
        "sha256": {"model.safetensors": "abc123"},
        "scenes": {"first_seed": 500_000, "train": 4, "select": 2, "test": 2, "size_px": 128},
        "settings": {"seed": 0, "tokens_per_image": 64, "l2": 0.001, "resamples": 10},
        "probe": {"trained": probed(trained), "untrained": probed(untrained), "raw_pixels": probed(0.2)},
        "ratio": {"untrained": trained / untrained, "raw_pixels": trained / 0.2},
    }
    return answer | ({"presence": {"trained": words(auc), "untrained": words(0.5)}} if family == "clip" else {})


HISTORY = {
    "recipe": {
        "steps": 100, "batch_images": 8, "learning_rate": 1e-3, "weight_decay": 0.05, "warmup_steps": 10,
    },
    "seconds": 3600.0,
    "training": {"loss": [[50, 2.0], [100, 1.25]]},
    "validation": {"loss": [[100, 1.5]]},
}  # fmt: skip


def written(path, measured, history=HISTORY):
    families = [one["family"] for one in measured]
    card.write_cards(
        dict.fromkeys(families, history),
        dict(zip(families, measured, strict=True)),
        {families[0]: ["zoo/losses.png"]},
        path / "zoo.md",
    )
    return (path / "zoo.md").read_text("utf-8")


def test_a_family_below_its_goal_is_said_to_fall_short(tmp_path):
    text = written(tmp_path, [found("dino", trained=0.3), found("clip", auc=0.8)])
    assert text.count("fell **short of** its goal of 1.5 times: 1.200 times") == 2
    assert text.count("fell **short of** its goal of 0.85: a mean AUC of 0.800") == 2
    assert "met its goal" not in text


def test_a_family_above_its_goal_is_not(tmp_path):
    text = written(tmp_path, [found("mae"), found("clip")])
    assert "short of" not in text
    assert "met its goal of 1.5 times: 1.800 times" in text
    assert "met its goal of 0.85: a mean AUC of 0.900" in text


def test_a_card_shows_what_it_was_given(tmp_path):
    date = {
        "date": "2031-05-06",
        "command": "snakemake zoo --cores 2",
        "machine": "two cores",
        "versions": {"torch": "9"},
    }
    scenes = {"scenes": {"scenes": 1000, "first_seed": 1_000_000, "size_px": 128}}
    text = written(tmp_path, [found("mae")], HISTORY | date | scenes)
    for piece in ("2031-05-06", "snakemake zoo --cores 2", "two cores", "torch 9", "abc123", "1,000 rendered scenes",
                  "| training: loss | 2 | 50 | 1.25 | 100 |", "](zoo/losses.png)", "0.450 (0.100–0.600)",
                  "3.0 MB, within the limit of at most 18 MB"):  # fmt: skip
        assert piece in text
    assert "not recorded" in written(tmp_path, [found("mae")])


def test_diffusion_has_two_trainings(tmp_path):
    text = written(tmp_path, [found("diffusion")], HISTORY | {"autoencoder": HISTORY})
    assert "**Training of the autoencoder.**" in text
    assert "100 + 100" in text


def test_loss_curves_are_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        pictures.draw_losses(HISTORY, tmp_path / name, title="MAE")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with pytest.raises(InputError, match="a history with a loss"):
        pictures.draw_losses({"training": {}, "validation": {}}, tmp_path / "c.png", title="MAE")
