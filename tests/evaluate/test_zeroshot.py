"""Names for regions from texts: averages, cosines and probabilities against planted answers."""

import numpy as np
import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.evaluate.zeroshot import TEMPLATES, on_grid, recognise, region_features, text_embeddings

CHOICE = {"threshold": 0.0, "measure": "probability", "scale": 100.0}


def rows(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


def dictionary(texts):
    """An embedding that only knows what text it is, of any length."""
    return np.stack([np.random.default_rng(list(text.encode())).normal(size=8) * len(text) for text in texts])


# Texts


def test_a_phrase_is_the_mean_direction_of_its_prompts():
    found = text_embeddings(dictionary, ["cat", "potted plant"], ["a {}.", "two {}", "{} and {}"])
    for row, phrase in zip(found, ["cat", "potted plant"], strict=True):
        prompts = [f"a {phrase}.", f"two {phrase}", f"{phrase} and {phrase}"]
        np.testing.assert_allclose(row, unit(unit(dictionary(prompts)).mean(0)), atol=1e-6)
    assert found.shape == (2, 8)


def test_one_template_gives_the_embedding_itself_and_braces_in_a_phrase_are_letters():
    found = text_embeddings(dictionary, ["{x}"], ["a {}"])
    np.testing.assert_allclose(found, unit(dictionary(["a {x}"])), atol=1e-6)


@pytest.mark.parametrize(
    ("phrases", "templates", "fault"),
    [
        (["cat"], ["a photo"], "got 'a photo'"),
        (["cat"], [], "1 phrases and 0 templates"),
        ([], ["{}"], "0 phrases and 1 templates"),
    ],
)
def test_templates_without_a_place_are_refused(phrases, templates, fault):
    with pytest.raises(InputError, match=fault):
        text_embeddings(dictionary, phrases, templates)


def test_our_templates_are_a_dozen_and_differ():
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 12
    assert all(template.count("{}") == 1 for template in TEMPLATES)


# Regions


def test_a_region_is_the_mean_of_its_tokens_as_they_are():
    joint, regions = rows(30, 5), np.random.default_rng(1).integers(0, 4, 30)
    found = region_features(joint, regions)
    for label in range(4):
        np.testing.assert_allclose(found[label], joint[regions == label].mean(0), atol=1e-6)
    order = np.random.default_rng(2).permutation(30)
    np.testing.assert_allclose(region_features(joint[order], regions[order]), found, atol=1e-6)
    np.testing.assert_allclose(region_features(joint, np.arange(30)), joint)  # every token a region


def test_a_label_without_tokens_is_zeros_and_background():
    found = region_features(rows(3, 5).astype(np.float16), np.array([0, 2, 2]))
    assert found.shape == (3, 5)
    assert not found[1].any()
    for measure, texts in (("probability", rows(2, 5)), ("cosine", -found[:1])):
        names, scores = recognise(found, texts, threshold=-0.5, measure=measure, scale=10.0)
        assert (names[1], scores[1]) == (0, 0)
        assert names[2] > 0 or scores[2] <= -0.5


def test_negative_labels_are_refused():
    with pytest.raises(InputError, match="expected labels from 0, got -1"):
        region_features(rows(2, 5), np.array([0, -1]))


# Names


def test_the_nearest_text_names_a_region_whatever_the_lengths():
    texts = unit(rows(6, 16))
    order = np.array([3, 0, 5, 1])
    features = texts[order] + 0.05 * rows(4, 16, seed=1)
    for measure in ("probability", "cosine"):
        names, scores = recognise(features, texts, **{**CHOICE, "measure": measure})
        assert names.dtype == np.int16
        assert names.tolist() == (order + 1).tolist()
        again, same = recognise(7 * features, 0.1 * texts, **{**CHOICE, "measure": measure})
        assert again.tolist() == names.tolist()
        np.testing.assert_allclose(same, scores, atol=1e-5)
    np.testing.assert_allclose(scores, (unit(features) * texts[order]).sum(1), atol=1e-6)


def test_a_probability_is_the_softmax_of_scaled_cosines():
    features, texts = rows(5, 8), rows(3, 8, seed=1)
    cosines = unit(features) @ unit(texts).T
    shares = np.exp(20 * cosines) / np.exp(20 * cosines).sum(1, keepdims=True)
    _, scores = recognise(features, texts, threshold=0.0, measure="probability", scale=20.0)
    np.testing.assert_allclose(scores, shares.max(1), atol=1e-6)


def test_a_lead_of_a_few_hundredths_is_a_high_probability_and_a_low_cosine():
    """Cosines as CLIP has them: 0.27 for the right text, 0.24 for the other. See the module's docstring."""
    texts = np.eye(3)[:2]
    feature = np.array([[0.27, 0.24, np.sqrt(1 - 0.27**2 - 0.24**2)]])
    assert recognise(feature, texts, threshold=0.7, measure="cosine", scale=100.0)[0].tolist() == [0]
    names, scores = recognise(feature, texts, threshold=0.7, measure="probability", scale=100.0)
    assert (names.tolist(), round(float(scores[0]), 2)) == ([1], 0.95)


def test_what_is_not_above_the_threshold_is_background_and_keeps_its_score():
    features, texts = np.eye(2), np.array([[1.0, 0.0]])
    names, scores = recognise(features, texts, threshold=0.5, measure="cosine", scale=1.0)
    assert (names.tolist(), scores.tolist()) == ([1, 0], [1.0, 0.0])
    assert recognise(features, texts, threshold=1.0, measure="cosine", scale=1.0)[0].tolist() == [0, 0]


def softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def test_only_the_most_probable_names_of_the_image_compete():
    texts = np.eye(4)
    features = np.array([[1.0, 0.9, 0, 0], [0.2, 1.0, 0, 0], [0, 0, 1.0, 0.9]])
    assert recognise(features, texts, **CHOICE)[0].tolist() == [1, 2, 3]
    assert recognise(features, texts, **CHOICE, most=2)[0].tolist()[:2] == [1, 2]
    cosines = {**CHOICE, "measure": "cosine"}
    assert recognise(features, texts, **cosines, most=1)[0].tolist() == [2, 2, 0]  # a cosine of 0 is not above it
    whole = np.array([0, 0, 0.1, 1.0])  # an image of which the third region is nearly all
    names, _ = recognise(features, texts, **CHOICE, most=2, whole=whole)
    assert names[2] == 3
    assert set(names.tolist()) <= {3, 4}
    everyone = recognise(features, texts, **cosines)
    for few in (4, 9):
        assert np.array_equal(recognise(features, texts, **cosines, most=few), everyone)


def test_a_probability_among_few_is_multiplied_with_that_among_all():
    features, texts, whole = rows(5, 8), unit(rows(4, 8, seed=1)), rows(8, seed=2)
    logits = 3.0 * unit(features) @ texts.T
    choice = {"threshold": 0.3, "measure": "probability", "scale": 3.0, "whole": whole}
    two = np.argsort(-(texts @ whole))[:2]
    among = np.zeros_like(logits)
    among[:, two] = softmax(logits[:, two])
    expected = softmax(logits) * among
    names, scores = recognise(features, texts, **choice, most=2)
    np.testing.assert_allclose(scores, expected.max(1), atol=1e-6)
    assert names.tolist() == np.where(scores > 0.3, expected.argmax(1) + 1, 0).tolist()
    _, scores = recognise(features, texts, **choice, most=9)
    np.testing.assert_allclose(scores, (softmax(logits) ** 2).max(1), atol=1e-6)


def test_where_few_compete_the_best_region_of_an_image_is_named_whatever_the_threshold():
    features = np.array([[0.0, 0.0], [1.0, 0.9], [1.0, 0.8]])
    choice = {**CHOICE, "scale": 1.0, "threshold": 0.99}
    assert recognise(features, np.eye(2), **choice)[0].tolist() == [0, 0, 0]
    assert recognise(features, np.eye(2), **choice, most=2)[0].tolist() == [0, 0, 1]


def test_empty_regions_do_not_count_as_the_image():
    texts, features = np.eye(2), np.array([[0.1, 1.0], [0, 0], [0, 0]])
    cosines = {**CHOICE, "measure": "cosine"}
    names, _ = recognise(features, texts, **cosines, most=1)
    assert names.tolist() == [2, 0, 0]
    assert recognise(np.zeros((2, 2)), texts, **cosines, most=1)[0].tolist() == [0, 0]


@pytest.mark.parametrize("few", [{"texts": np.eye(2)[:1]}, {"texts": np.eye(2), "most": 1}])
def test_a_probability_among_one_is_refused(few):
    with pytest.raises(InputError, match="expected at least two that compete"):
        recognise(np.eye(2), **few, **CHOICE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"scale": float("nan")}, "expected a positive scale of the cosines, got nan"),
        ({"scale": 0.0}, "expected a positive scale"),
        ({"most": 0}, "at least one that competes, got most 0"),
    ],
)
def test_impossible_choices_are_refused(change, fault):
    with pytest.raises(InputError, match=fault):
        recognise(np.eye(2), np.eye(2), **{**CHOICE, **change})


# Grids


def test_tokens_on_another_grid_are_those_at_their_place():
    joint = np.arange(6, dtype=np.float32)[:, None]
    assert on_grid(joint, (2, 3), (2, 3)).ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert on_grid(joint, (2, 3), (4, 6)).reshape(4, 6)[::2, ::2].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert on_grid(joint, (2, 3), (4, 6)).reshape(4, 6)[1::2, 1::2].ravel().tolist() == [0, 1, 2, 3, 4, 5]
    assert on_grid(joint.astype(np.float16), (2, 3), (1, 3)).ravel().tolist() == [0, 1, 2]
