"""Which layers enter: names, stages of a U-Net as in Table 2, and the nearest resolution."""

import pytest

from whatwhere.artifacts.errors import InputError
from whatwhere.method.layers import chosen_layers

#: Stable Diffusion 1.4's sixteen self-attention layers, in order, with the side of their grids.
STABLE_DIFFUSION = [
    *((f"unet.down_blocks.{b}.attentions.{i}.attn1", side) for b, side in ((0, 64), (1, 32), (2, 16)) for i in (0, 1)),
    ("unet.mid_block.attentions.0.attn1", 8),
    *((f"unet.up_blocks.{b}.attentions.{i}.attn1", side) for b, side in ((1, 16), (2, 32), (3, 64)) for i in (0, 1, 2)),
]
NAMES = [name for name, _ in STABLE_DIFFUSION]
GRIDS = [(side, side) for _, side in STABLE_DIFFUSION]


def numbers(*patterns, names=NAMES, grids=GRIDS):
    """The chosen layers' numbers, from 1 as the paper counts."""
    return [i for i, chosen in enumerate(chosen_layers(names, grids, patterns), 1) if chosen]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", range(1, 17)),
        ("stage:encoder", range(1, 5)),
        ("stage:mid", range(5, 11)),
        ("stage:decoder", range(11, 17)),
        ("grid:32x32", [3, 4, 11, 12, 13]),
        ("grid:64x64", [1, 2, 14, 15, 16]),
        ("*mid_block.*", [7]),
    ],
)
def test_the_columns_of_table_2(pattern, expected):
    assert numbers(pattern) == list(expected)


def test_section_4_2_takes_the_middle_block_and_the_first_six_layers_of_the_way_up():
    assert numbers("block:mid") == [7]
    assert numbers("up:6") == [8, 9, 10, 11, 12, 13]
    assert numbers("block:mid", "up:6") == list(range(7, 14))  # "a total of 7 attention matrices"
    assert numbers("up:100") == list(range(8, 17))


def test_of_several_samples_the_first_layers_up_are_those_of_each():
    names = [*NAMES, *(f"{name}#2" for name in NAMES)]
    assert numbers("block:mid", "up:2", names=names, grids=GRIDS * 2) == [7, 8, 9, 23, 24, 25]


def test_patterns_add_up():
    assert numbers("stage:encoder", "stage:mid", "stage:decoder") == list(range(1, 17))
    assert numbers("*mid_block.*", "grid:8x8") == [7]


def test_samples_share_their_layers_name():
    names = [*NAMES, *(f"{name}#2" for name in NAMES)]
    assert numbers("stage:encoder", names=names, grids=GRIDS * 2) == [1, 2, 3, 4, 17, 18, 19, 20]
    assert numbers("*mid_block.*", names=names, grids=GRIDS * 2) == [7, 23]


@pytest.mark.parametrize(
    ("wanted", "nearest"), [("32x32", (16, 16)), ("9x9", (8, 8)), ("1x1", (4, 4)), ("6x11", (8, 8))]
)
def test_the_nearest_grid_is_taken(wanted, nearest):
    grids = [(4, 4), (8, 8), (16, 16)]
    assert [
        g for g, hit in zip(grids, chosen_layers(["a", "b", "c"], grids, [f"grid:{wanted}"]), strict=True) if hit
    ] == [nearest]


def test_every_unet_with_two_levels_has_three_stages():
    names = ["down_blocks.0.a", "down_blocks.1.a", "mid_block.a", "up_blocks.0.a", "up_blocks.0.b", "up_blocks.1.a"]
    grids = [(16, 16), (8, 8), (8, 8), (8, 8), (8, 8), (16, 16)]
    assert [numbers(f"stage:{s}", names=names, grids=grids) for s in ("encoder", "mid", "decoder")] == [
        [1],
        [2, 3, 4, 5],
        [6],
    ]


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("nothing*", r"matches \['nothing\*'\], got only unet.down_blocks"),
        ("stage:middle", "expected stage:encoder, stage:mid or stage:decoder, got stage:middle"),
        ("grid:32", "expected grid:ROWSxCOLUMNS, got grid:32"),
        ("block:middle", "expected block:mid or up:NUMBER, got block:middle"),
        ("up:0", "expected block:mid or up:NUMBER, got up:0"),
        ("up:six", "expected block:mid or up:NUMBER, got up:six"),
    ],
)
def test_a_wrong_pattern_is_one_line(pattern, fault):
    with pytest.raises(InputError, match=fault):
        chosen_layers(NAMES, GRIDS, [pattern])


@pytest.mark.parametrize("pattern", ["stage:mid", "block:mid", "up:6"])
def test_a_plain_transformer_has_no_stages(pattern):
    with pytest.raises(InputError, match=r"layers of a U-Net for a stage, got blocks\.0\.attn"):
        chosen_layers(["blocks.0.attn"], [(4, 4)], [pattern])
