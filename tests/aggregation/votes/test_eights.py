"""Rankings counted eight at a time: the sums and reasons of counting them one after the other, whoever is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.votes import compiled_counting
from robustfl.aggregation.votes import counting as votes
from robustfl.aggregation.votes.counting import sum_positions


@settings(deadline=None, max_examples=40)
@given(data=st.data(), wide=st.booleans())
def test_eight_voters_at_a_time_count_as_one_after_the_other(data: st.DataObject, wide: bool) -> None:
    layers, count = data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=2)), data.draw(st.integers(1, 19))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    dtype = np.int64 if wide else np.int32
    voters = {name: [rng.permutation(n).astype(dtype) for n in layers] for name in range(count)}
    for name in data.draw(st.lists(st.integers(0, count - 1), max_size=3)):
        layer = data.draw(st.integers(0, len(layers) - 1))
        place = data.draw(st.integers(0, layers[layer] - 1))
        voters[name][layer][place] = data.draw(st.integers(-2, layers[layer] + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(votes, "_counting", lambda size: (compiled_counting.add_positions, compiled_counting.take_back))
        found, faults = sum_positions(voters, layers)
        patch.setattr(votes, "_counting", lambda size: (votes.add_positions, votes.take_back))
        expected, plain = sum_positions(voters, layers)
    assert list(faults.items()) == list(plain.items())
    for sums, others in zip(found, expected, strict=True):
        np.testing.assert_array_equal(sums, others)


def test_eight_voters_cannot_cover_for_each_other() -> None:
    fair = np.arange(4)
    assert not counted_together([fair] * 7 + [np.array([0, 0, 2, 3])])
    # Edge 0 is named three times by the first and never by the second, as if each had named it once: 3 + 0 = 1 + 2.
    assert not counted_together([np.array([0, 0, 0, 1]), np.array([1, 2, 3, 3])] + [fair] * 6)
    rng = np.random.default_rng(0)
    for _ in range(2000):
        rankings = rng.integers(0, 2, (8, 2))  # every way to name two edges
        assert counted_together(list(rankings)) == bool((rankings[:, 0] != rankings[:, 1]).all())
    assert not counted_together([np.array([0, 4, 2, 3])] + [fair] * 7)
    assert not counted_together([fair] * 7 + [np.array([0, -1, 2, 3])])


def counted_together(rankings: list[Any]) -> bool:
    """Whether eight rankings pass the check of the compiled count."""
    cells = np.zeros(rankings[0].size, np.uint32)
    return bool(compiled_counting.add_eight(*rankings, cells)) and bool(compiled_counting.named_once(cells))


def test_the_largest_layers_are_counted_in_24_bits() -> None:
    assert votes.TOGETHER * (votes.MOST_TOGETHER - 1) < 2**24
    rankings = np.tile(np.arange(votes.MOST_TOGETHER, dtype=np.int32), (8, 1))
    (sums,), faults = sum_positions(dict(enumerate(rankings[:, None])), [votes.MOST_TOGETHER])
    assert not faults
    np.testing.assert_array_equal(sums, 8 * np.arange(votes.MOST_TOGETHER))
