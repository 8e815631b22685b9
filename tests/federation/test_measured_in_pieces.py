"""Rates that are measured in pieces of the test set, of which the last one is smaller."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor

from robustfl.attacks import BadNets
from robustfl.federation.observers import aims as backdoor
from robustfl.federation.observers import confusion
from robustfl.federation.observers.aims import Trigger
from robustfl.federation.observers.confusion import Confusion
from tests.federation.worlds import SMALL_MLP, population


@pytest.mark.parametrize("chunk", [1, 7, 2048])
def test_success_does_not_depend_on_the_pieces(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = population(SMALL_MLP)
    truth, attack = made.test_labels, BadNets(target=1)

    def guess(features: Tensor) -> Tensor:
        scores: Tensor = made.module(features)
        return scores

    for module in (backdoor, confusion):
        monkeypatch.setattr(module, "CHUNK", chunk)
    clean, marked = (guess(x).argmax(dim=1) for x in (made.test_features, attack.stamp(made.test_features)))
    tested = truth != 1
    assert len(truth) % 7 != 0 != int(tested.sum()) % 7
    found: dict[str, Any] = Confusion(made, 0, 1).rates(guess)
    assert found["attack_success"] == float((clean[truth == 0] == 1).double().mean())
    assert found["other_accuracy"] == float((clean[truth != 0] == truth[truth != 0]).double().mean())
    found = Trigger(made, attack).rates(guess)
    assert found["attack_success"] == float((marked[tested] == 1).double().mean())
    assert found["triggered_accuracy"] == float((marked[tested] == truth[tested]).double().mean())
