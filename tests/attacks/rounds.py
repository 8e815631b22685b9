"""One round after the other, for attacks that remember."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from robustfl.threats import Adversary, Facts, UpdateAttack
from tests.attacks.table import Matrix


def facts(honest: Matrix, f: int, number: int = 0, own: Matrix | None = None, **known: Any) -> Facts:
    """The facts of round `number`; arrays among `known` become tensors, and the generator is that of the round."""
    mine = torch.as_tensor(np.zeros((f, honest.shape[1])) if own is None else own)
    values: dict[str, Any] = {
        "round": number,
        "f": f,
        "declared_f": f,
        "honest": torch.as_tensor(honest),
        "honest_ids": tuple(range(len(honest))),
        "own": lambda: mine,
        "rng": np.random.default_rng(number),
    }
    given = {name: torch.as_tensor(value) if isinstance(value, np.ndarray) else value for name, value in known.items()}
    return Facts(**{**values, **given})


def played(attack: UpdateAttack, *rounds: Facts) -> tuple[list[Matrix], dict[str, Any]]:
    """What one adversary sends in each of some rounds, and what it remembers after them."""
    adversary = Adversary(attack)
    return [adversary.craft(known).numpy() for known in rounds], adversary.memory


def play(adversary: Adversary, honest: Matrix, f: int = 2, **known: Any) -> Matrix:
    """One round of an adversary with memory."""
    result: Matrix = adversary.craft(facts(honest, f, known.pop("round", 0), **known)).numpy()
    return result
