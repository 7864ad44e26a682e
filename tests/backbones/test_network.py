"""What an image costs a backbone: closed forms, and the published shapes of models whose files are not here."""

import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.backbones.network import Layer, network


@pytest.mark.parametrize(("height", "width"), [(448, 448), (224, 320)])
def test_operations_of_a_transformer_are_those_of_the_closed_form(height, width):
    found = network("dino-vits16", height, width)
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
    found = network(model, 512, 512)
    assert found.parameters / 1e6 == pytest.approx(millions, rel=1e-4)
    assert found.samples == (8 if "diffusion" in model else 1)
    assert (found.image_flop > 0) == ("diffusion" in model)


def test_the_layers_of_stable_diffusion_are_the_sixteen_of_table_2():
    found = network("stable-diffusion-v1-4", 512, 512)
    sides = [layer.grid[0] for layer in found.layers]
    assert sides == [64, 64, 32, 32, 16, 16, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    assert {layer.heads for layer in found.layers} == {8}
    few = network("stable-diffusion-v1-4", 512, 512, layers=("*mid_block*",))
    assert [layer.grid for layer in few.layers] == [(8, 8)]
    assert few.flop == found.flop  # the rest runs all the same


def test_what_is_not_known_and_what_does_not_fit_is_an_error():
    with pytest.raises(InputError, match="expected its configuration on this machine, got none"):
        network("nobody/never-published", 64, 64)
    with pytest.raises(InputError, match="multiples of its 8 px patches"):
        network("zoo/dino", 68, 68)
