"""Clients are known by the value of their ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.updates.ids import identify
from robustfl.defenses import Bucketing, ClientMomentum, Median
from robustfl.errors import UpdatesError

SAME: list[Any] = [
    torch.tensor([1, 2, 3, 3]),
    np.array([1, 2, 3, 3]),
    list(torch.tensor([1, 2, 3, 3])),
    list(np.array([1, 2, 3, 3], np.uint8)),
    [torch.tensor(1), np.int64(2), 3, torch.tensor(3.0)],
    (np.array(number) for number in (1, 2, 3, 3)),
]


@pytest.mark.parametrize("ids", SAME, ids=range(len(SAME)))
def test_rows_of_one_client_are_found_in_any_form(ids: Any) -> None:
    names, refused = identify(ids, 4)
    assert names == (1, 2, 3, 3)
    assert list(refused) == [2, 3]


NESTED: list[Any] = [
    torch.tensor([[1, 2], [1, 3], [1, 2]]),
    [[1, 2], [1, 3], (1, 2)],
    [(torch.tensor(1), "a"), (1, "b"), (np.int8(1), np.str_("a"))],
    [bytearray(b"a"), b"b", memoryview(b"a")],
    [{1, 2}, {3}, frozenset(torch.tensor([1, 2]).tolist())],
    np.array(["2026-01-01", "2026-01-02", "2026-01-01"], "datetime64[D]"),
]


@pytest.mark.parametrize("ids", NESTED, ids=range(len(NESTED)))
def test_ids_are_compared_by_what_they_hold(ids: Any) -> None:
    assert list(identify(ids, 3)[1]) == [0, 2]


@pytest.mark.parametrize("ids", [[1.0, np.nan, np.nan], torch.tensor([1.0, np.nan, np.nan]), [0, (1, np.nan), 2]])
def test_no_number_names_nobody(ids: Any) -> None:
    refused = identify(ids, 3)[1]
    assert all("names no client" in reason for reason in refused.values())
    assert 1 in refused
    assert 0 not in refused


def test_ids_without_values_are_an_error() -> None:
    with pytest.raises(UpdatesError, match="`ids` cannot be read"):
        Median()(np.ones((2, 1)), ids=torch.empty(2, device="meta"))


def test_clients_are_remembered_from_tensor_to_tensor() -> None:
    """Client 3 is counted once when its row comes again, and not at all when nobody knows which of its rows it sent."""
    rows = np.array([[0.0], [1.0], [9.0], [9.0], [9.0]])
    assert Median().aggregate(rows, ids=torch.tensor([1, 2, 3, 3, 3])).value == [1.0]
    rows[3] = 8.0
    assert Median().aggregate(rows, ids=torch.tensor([1, 2, 3, 3, 3])).value == [0.5]
    rule = ClientMomentum(beta=0.5) >> Median()
    for _ in range(3):
        last = rule(np.full((3, 1), 4.0), ids=torch.tensor([7, 8, 9]))
    assert last == [3.5]
    assert rule.state_dict()["before"]["ids"] == (7, 8, 9)
    assert not rule.state_dict()["before"]["away"]


def test_buckets_follow_the_ids_and_not_the_arrival() -> None:
    """Within one round, in which both are asked; the next round has other buckets. Without ids, rows are positions."""
    x = np.random.default_rng(0).normal(size=(11, 50)).astype(np.float32)
    rule = Bucketing(size=2) >> Median()
    for number in range(5):
        order = np.random.default_rng(number).permutation(11)
        one, other = rule.preview(x, ids=range(11)).value, rule.preview(x[order], ids=torch.as_tensor(order)).value
        np.testing.assert_allclose(one, other, atol=1e-6)
        rule(x)
