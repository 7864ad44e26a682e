"""Where a backbone's weights are, as a configuration says it: the hub, random, a file, a distribution's file."""

import json

import pytest

from tests.config.test_config import changed
from whatwhere.artifacts.errors import InputError
from whatwhere.backbones import Packaged
from whatwhere.backbones.catalogue import DINOV2_SMALL
from whatwhere.config import parse
from whatwhere.config.methods import BackboneSettings

MINE = {"distribution": "mine", "version": "1", "member": "mine/eyes.onnx", "sha256": "0" * 64, "size_bytes": 3}


def settings(**said):
    return BackboneSettings(model="dinov2-vits14", view="native", **said)


def test_what_is_not_said_is_as_the_catalogue_has_it_and_this_machine():
    assert settings().weights is None
    assert settings().weights_here() == DINOV2_SMALL
    assert settings(weights="random").weights_here() == "random"
    assert BackboneSettings(model="dino-vits16", view="native").weights_here() == "hub"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Packaged, "is_installed", lambda _: False)
        assert settings().weights_here() == "hub"
        assert settings(weights=MINE).weights_here() == Packaged(**MINE)  # who names one means it


@pytest.mark.parametrize(
    ("model", "draws"), [("stable-diffusion-v1-4", True), ("clip-vit-b16", False), ("of/nobody", True), ("vit", False)]
)
def test_a_model_of_the_hub_draws_noise_where_it_is_diffusion_or_unknown(model, draws):
    assert BackboneSettings(model=model, view="native").draws() == draws


def test_a_distributions_file_is_a_mapping_there_and_back():
    said = settings(weights=MINE)
    assert said.weights == Packaged(**MINE)
    there = json.loads(json.dumps(said.model_dump(mode="json")))
    assert BackboneSettings(**there) == said


def test_a_file_that_is_not_as_it_was_pinned_is_found_before_any_job():
    assert settings().local_files() == []
    with pytest.raises(InputError, match="weights of mine 1: expected this distribution, found none; pip install"):
        settings(weights=MINE).local_files()


WRONG = {
    "unknown key": ({**MINE, "hash": "x"}, r"\(hash: Unexpected keyword argument\)"),
    "missing key": ({"distribution": "mine"}, r"\{'distribution': 'mine'\} \(version: Field required\)"),
    "no number": ({**MINE, "size_bytes": "many"}, r"\(size_bytes: Input should be a valid integer"),
    "a number": (3, r"3 \(it: "),
    "a list": (["hub"], r"\['hub'\] \(it: "),
}


@pytest.mark.parametrize("case", WRONG)
def test_faults_are_one_line_with_the_path(case):
    weights, said = WRONG[case]
    tree = changed(["backbones", "zoo-dino", "weights"], weights)
    expected = r"backbones\.zoo-dino\.weights: expected hub, random, a path, or distribution, version, member, sha256"
    with pytest.raises(InputError, match=f"{expected} and size_bytes, got .*{said}") as caught:
        parse(tree)
    assert "\n" not in str(caught.value)
