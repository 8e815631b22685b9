"""What an attack may look at, and that nothing else reaches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from robustfl.errors import AttackError, KnowledgeError
from robustfl.threats import Facts, Knowledge, View

ALL = Knowledge.OWN | Knowledge.HISTORY | Knowledge.PEERS | Knowledge.DATA | Knowledge.DEFENSE

LOOKS: dict[str, tuple[Knowledge, Callable[[View], Any]]] = {
    "honest": (Knowledge.PEERS, lambda view: view.honest),
    "honest_ids": (Knowledge.PEERS, lambda view: view.honest_ids),
    "mean": (Knowledge.PEERS, lambda view: view.mean()),
    "std": (Knowledge.PEERS, lambda view: view.std()),
    "own": (Knowledge.OWN, lambda view: view.own),
    "mean of own": (Knowledge.OWN, lambda view: view.mean("own")),
    "std of own": (Knowledge.OWN, lambda view: view.std("own")),
    "weights": (Knowledge.HISTORY, lambda view: view.weights),
    "previous_weights": (Knowledge.HISTORY, lambda view: view.previous_weights),
    "aggregate": (Knowledge.DEFENSE, lambda view: view.aggregate(torch.zeros(6, 3))),
}


def facts(**changes: Any) -> Facts:
    values: dict[str, Any] = {
        "round": 3,
        "f": 2,
        "declared_f": 1,
        "honest": torch.arange(12.0).reshape(4, 3),
        "honest_ids": (7, 1, 4, 0),
        "own": lambda: torch.ones(2, 3),
        "weights": torch.full((3,), 5.0),
        "previous_weights": torch.full((3,), 4.0),
        "aggregate": lambda rows: rows.mean(dim=0),
    }
    return Facts(**{**values, **changes})


def view(knowledge: Knowledge = ALL, **changes: Any) -> View:
    return View(facts(**changes), knowledge, "Spy()", {})


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_needs_exactly_its_knowledge(look: str) -> None:
    needed, reach = LOOKS[look]
    reach(view(needed))
    with pytest.raises(KnowledgeError, match=rf"Spy\(\) looked at .* '{needed.names()[0]}'. It declares: "):
        reach(view(ALL & ~needed))
    with pytest.raises(KnowledgeError, match=r"It declares: nothing\. Declare it, or do without"):
        reach(view(Knowledge.NOTHING))


def test_own_updates_are_not_even_computed_for_who_may_not_see_them() -> None:
    def explode() -> torch.Tensor:
        raise AssertionError("computed")

    with pytest.raises(KnowledgeError):
        _ = view(Knowledge.PEERS, own=explode).own


def test_own_updates_are_computed_once() -> None:
    calls: list[int] = []

    def own() -> torch.Tensor:
        calls.append(1)
        return torch.ones(2, 3)

    seen = view(own=own)
    assert seen.own is seen.own
    assert len(calls) == 1


def test_sizes_are_free() -> None:
    seen = view(Knowledge.NOTHING)
    assert (seen.n, seen.f, seen.h, seen.d, seen.declared_f, seen.round) == (6, 2, 4, 3, 1, 3)
    assert seen.message == "gradient"
    assert seen.full(2.5).tolist() == [2.5, 2.5, 2.5]
    assert seen.normal().shape == (3,)
    assert seen.normal(5).shape == (5, 3)


def test_names_are_in_words_and_in_order() -> None:
    assert ALL.names() == ["own", "history", "peers", "data", "defense"]
    assert Knowledge.NOTHING.names() == []
    assert (Knowledge.DEFENSE | Knowledge.OWN).names() == ["own", "defense"]


def test_what_was_not_given_is_an_error_that_says_so() -> None:
    with pytest.raises(AttackError, match="needs the global model, which was not given"):
        _ = view(weights=None).weights
    with pytest.raises(AttackError, match="needs the defense, which was not given"):
        view(aggregate=None).aggregate(torch.zeros(6, 3))
    assert view(previous_weights=None).previous_weights is None


@settings(max_examples=30, deadline=None)
@given(
    rows=arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(1, 4)), elements=st.floats(-1e6, 1e6)),
    ddof=st.integers(0, 1),
)
def test_statistics_are_those_of_numpy(rows: np.ndarray, ddof: int) -> None:
    seen = view(honest=torch.as_tensor(rows), honest_ids=tuple(range(len(rows))))
    expected = rows.std(axis=0, ddof=ddof) if len(rows) > ddof else np.zeros(rows.shape[1])
    np.testing.assert_allclose(seen.mean(), rows.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(seen.std(ddof=ddof), expected, atol=1e-6)


@pytest.mark.parametrize("payload", [float("nan"), float("inf"), float("-inf")])
def test_statistics_skip_rows_that_are_not_finite(payload: float) -> None:
    honest = torch.arange(12.0).reshape(4, 3)
    spoilt = honest.clone()
    spoilt[1, 2] = payload
    seen = view(honest=spoilt)
    rest = honest[[0, 2, 3]]
    assert torch.allclose(seen.mean(), rest.mean(dim=0))
    assert torch.allclose(seen.std(), rest.std(dim=0, correction=0))
    nothing = view(honest=torch.full((4, 3), payload))
    assert nothing.mean().tolist() == nothing.std().tolist() == [0.0, 0.0, 0.0]


def test_changes_are_named() -> None:
    seen = view()
    assert not seen.honest.equal(seen.weights)
    assert seen.previous_weights is not None
    assert seen.changed() == []
    seen.weights.add_(1.0)
    assert seen.changed() == ["the global model"]
    seen.honest.numpy()[2] = 0.0
    assert seen.changed() == ["the honest updates", "the global model"]


def test_what_was_never_looked_at_is_not_watched() -> None:
    world = facts()
    seen = View(world, ALL, "Spy()", {})
    world.honest.add_(1.0)
    assert seen.changed() == []
