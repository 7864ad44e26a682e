"""Numbers of pages in few bits: read as they were written, and no head's row off by more than a hundredth."""

import numpy as np
import pytest
import torch

from tests.explored import HUNDREDTH, Reader, bytes_of, head_of, kept, off
from whatwhere.method.walk import LayerWalk
from whatwhere.publish.explored import heads
from whatwhere.publish.explored.bits import Bits, as_text


@pytest.mark.parametrize("spread", [0, 1, 5, 300, 40_000])
def test_numbers_are_read_as_they_were_written(spread):
    rng = np.random.default_rng(spread)
    lists = [rng.integers(-spread, spread + 1, count) for count in (1, 7, 500)]
    bits = Bits()
    for numbers in lists:
        bits.signed(numbers)
        bits.plain(np.abs(numbers), 17)
    read = Reader(bytes_of(bits.text()))
    for numbers in lists:
        np.testing.assert_array_equal(read.signed(len(numbers)), numbers)
        assert [read.plain(17) for _ in numbers] == np.abs(numbers).tolist()
    assert len(read.bits) - read.place < 8
    assert len(bits) == read.place


def test_rows_of_numbers_are_lists_one_after_the_other():
    """Each with the k that suits it best of all."""
    rows = np.random.default_rng(0).geometric([[0.9], [0.1], [0.001]], (3, 60)) - 1
    together, single, lengths = Bits(), Bits(), []
    together.rice(rows)
    for row in rows:
        single.rice(row)
        lengths.append(4 + min(int((row >> k).sum()) + len(row) * (1 + k) for k in range(16)))
    assert together.bytes() == single.bytes()
    assert len(together) == sum(lengths)


def test_rice_is_near_the_entropy():
    """Of a geometric distribution, which it is made for, within a twentieth."""
    numbers = np.random.default_rng(0).geometric(0.1, 20_000) - 1
    share = np.bincount(numbers) / len(numbers)
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum() * len(numbers)
    bits = Bits()
    bits.rice(numbers)
    assert entropy < len(bits) < 1.05 * entropy


def test_text_is_what_a_script_may_hold():
    data = np.random.default_rng(0).bytes(100_003)
    text = as_text(data)
    assert "<" not in text
    assert bytes_of(text) == data


def planted(strength, *, values=False, sink=False, grid=(6, 9), channels=8):
    """Queries and keys (or values) of two heads, as far from even as `strength`; a token that all look at."""
    rng = np.random.default_rng(0)
    source, target = (torch.from_numpy(rng.standard_normal((2, grid[0] * grid[1], channels))) for _ in "ab")
    source, target = source.float() * strength + 0.3, target.float() + 0.7
    if sink:
        target[:, 4] += 3
    return LayerWalk("planted", source, source.clone() if values else target, 0.5, grid, "normalised")


@pytest.mark.parametrize("stride", [1, 2, 3, 9])
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("strength", [0.0, 0.1, 1.0, 6.0, 60.0])
def test_no_row_of_a_head_is_off_by_more_than_a_hundredth(strength, values, stride):
    walk = planted(strength, values=values)
    P = torch.cat([block.clone() for block in walk.matrices()]).numpy()
    places = heads.rows_kept(walk.grid, stride)
    rows, columns = kept(walk.grid, stride)
    assert places.tolist() == [row * 9 + column for row in rows for column in columns]
    for head in range(2):
        data = heads.encoded(walk, head, stride).bytes()
        found = head_of(data, walk.grid, stride, heads.TOLERANCE, same=values)
        assert off(found, P[head][places]) < HUNDREDTH


@pytest.mark.parametrize("strength", [1.0, 60.0])
def test_nor_where_a_token_is_looked_at_by_all(strength):
    walk = planted(strength, sink=True)
    P = next(walk.matrices())[1].numpy()
    assert off(head_of(heads.encoded(walk, 1, 1).bytes(), walk.grid, 1, heads.TOLERANCE, same=False), P) < HUNDREDTH


def test_a_head_that_looks_at_few_is_a_list_of_them():
    few, many = (heads.encoded(planted(strength), 0, 1).bytes() for strength in (60.0, 1.0))
    assert few[0] == 0 < many[0]
    assert len(few) < len(many) / 3
