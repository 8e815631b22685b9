"""Several simulations in one batched computation give what each gives alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch

from robustfl.federation import lockstep
from robustfl.federation.clients.local_steps import Trainer
from robustfl.federation.lockstep import together


class Doubling:
    """A training whose computations are counted."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, weights: Any, features: Any, labels: Any, starts: Any = None, draws: Any = None) -> Any:
        self.sizes.append(len(features))
        return (
            2 * weights + features.flatten(1).sum(dim=1, keepdim=True) + (starts is not None) + 3 * (draws is not None)
        )


def asking(times: int, start: float, clients: int = 2, features: int = 1, starts: bool = False) -> Callable[..., float]:
    """A play that asks so many times, and returns what it got in the end."""

    def play(train: Trainer) -> float:
        weights = torch.tensor([start])
        for _ in range(times):
            batch = torch.ones(clients, 1, 1, features)
            total = train(weights, batch, torch.zeros(clients, 1, 1, dtype=torch.long), batch if starts else None)
            weights = total.add_(1.0)[0]  # what is answered belongs to whoever has asked
        return float(weights[0])

    return play


def test_what_runs_together_gives_what_it_gives_alone() -> None:
    plays = [asking(3, 1.0), asking(1, 2.0), asking(0, 5.0), asking(2, 3.0, features=4), asking(2, 3.0, starts=True)]
    alone = [play(Doubling()) for play in plays]
    counted = Doubling()
    assert together(plays, counted) == alone
    assert counted.sizes == [4, 2, 2, 2, 2, 2, 2]  # what has the same shape is computed together, while it runs


def test_large_questions_are_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockstep, "MOST_VALUES", 4)
    counted = Doubling()
    plays = [asking(1, float(k)) for k in range(5)]
    assert together(plays, counted) == [play(Doubling()) for play in plays]
    assert counted.sizes == [4, 4, 2]


def test_only_one_runs_at_any_time_in_a_fixed_order() -> None:
    seen: list[tuple[int, int]] = []

    def noting(number: int) -> Callable[[Trainer], None]:
        def play(train: Trainer) -> None:
            for step in range(3):
                seen.append((step, number))
                train(torch.zeros(1), torch.zeros(1, 1, 1), torch.zeros(1, 1))

        return play

    together([noting(0), noting(1), noting(2)], Doubling())
    assert seen == [(step, number) for step in range(3) for number in range(3)]


@pytest.mark.parametrize("where", ["play", "training"])
def test_an_error_ends_all_of_them(where: str) -> None:
    def fails(train: Trainer) -> float:
        asking(1, 0.0)(train)
        raise ValueError("in a play")

    def wrong(weights: Any, features: Any, labels: Any, starts: Any = None, draws: Any = None) -> Any:
        raise ValueError("in the training")

    before = threading.active_count()
    with pytest.raises(ValueError, match=f"in {'a play' if where == 'play' else 'the training'}"):
        together([asking(9, 0.0), fails, asking(9, 1.0)], Doubling() if where == "play" else wrong)
    assert threading.active_count() == before


def test_nothing_to_play() -> None:
    assert together([], Doubling()) == []
