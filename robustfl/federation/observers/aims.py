"""How successful attacks with an aim are over the rounds, and how long the success outlasts the attacker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from robustfl.federation.clients.poisoning import samples_of
from robustfl.federation.clients.training import predict
from robustfl.federation.observers.confusion import Confusion
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.task import Population
from robustfl.federation.trace import Trace
from robustfl.measures import Measure
from robustfl.threats.attack import Attack
from robustfl.threats.data.backdoors import Backdoor
from robustfl.threats.staging import poisoning_of

if TYPE_CHECKING:
    from torch import Tensor

Predict = Callable[["Tensor"], "Tensor"]

CHUNK = 2048
"""The number of samples that are marked and classified at a time."""

SUCCESSFUL = 0.5
"""A backdoor is present while at least this share of the tested samples is classified as the attacker wants."""


class Aim(Protocol):
    """What an attacker wants of the trained model."""

    def rates(self, predict: Predict) -> dict[str, float]:
        """The rates by name: `attack_success`, the share of samples classified as the attacker wants, and others."""


class Trigger:
    """The aim of a backdoor, measured on test samples of all but the wanted class, with the whole trigger."""

    def __init__(self, population: Population, attack: Backdoor) -> None:
        samples = samples_of(population)
        attack.require_classes(population.classes)
        attack.stamp(population.test_features[:1])  # refuses unfit data before training
        rows, self._attack = attack.tested(samples, population.classes), attack
        self._features, device = population.test_features, population.device
        self._rows = torch.as_tensor(rows, device=device)
        self._truth = population.test_labels[self._rows]
        self._wanted = torch.as_tensor(attack.wanted(samples.test_y[rows], population.classes), device=device)

    def rates(self, predict: Predict) -> dict[str, float]:
        """`attack_success`, and `triggered_accuracy`: the share that is classified correctly despite the trigger."""
        chunks = [self._rows[start : start + CHUNK] for start in range(0, len(self._rows), CHUNK)]
        parts = [predict(self._attack.stamp(self._features[rows])).argmax(dim=1) for rows in chunks]
        found = torch.cat(parts) if parts else self._truth
        count = max(1, len(self._truth))
        success, right = int((found == self._wanted).sum()), int((found == self._truth).sum())
        return {"attack_success": success / count, "triggered_accuracy": right / count}


def aim_of(population: Population, attack: Any) -> Aim | None:
    """What an attack (with or without identities) wants of the model; None when it only wants to do harm."""
    poisoning = poisoning_of(attack)
    if isinstance(poisoning, Backdoor):
        return Trigger(population, poisoning)
    source: Attack | None = poisoning or (attack if isinstance(attack, Attack) else None)
    pair = None if source is None else source.confusion()
    return None if pair is None else Confusion(population, *pair)


class Aims(Observer):
    """Measures the aim of a simulation's own attack, and the aims of other attacks for comparison.

    The success of an attack is meaningful only in comparison with the natural rate, at which a model without the attack
    makes the same mistake. Every simulation of a suite therefore measures all aims of the suite, even without an
    attack.

    Parameters
    ----------
    population : the population whose test samples are classified
    attack : the attack of the simulation; None without an attack
    others : poisonings of data whose aims are measured as well
    """

    measures: ClassVar[tuple[Measure, ...]] = (
        Measure(
            "attack_success",
            "share of the tested samples that is taken for what the attacker wants",
            unit="share",
            better="lower",
        ),
        Measure(
            "triggered_accuracy", "share that is recognised in spite of the trigger", unit="share", better="higher"
        ),
        Measure(
            "source_accuracy", "accuracy on the class that should be taken for another", unit="share", better="higher"
        ),
        Measure("target_accuracy", "accuracy on that other class", unit="share", better="higher"),
        Measure("other_accuracy", "accuracy on all classes but the first", unit="share", better="higher"),
        Measure(
            "attack_success_curve", "attack_success at every measurement", unit="share", better="lower", form="list"
        ),
        Measure("aim", "the attack on data whose aim this is", form="text"),
        Measure("durability", "rounds that the success outlasts the attacker", unit="rounds", better="lower"),
        Measure("durability_censored", "whether it outlasts the training", form="flag"),
        Measure(
            "aims",
            "success of every attack with an aim, whether it was carried out or not",
            unit="share",
            form="by name",
        ),
    )

    def __init__(
        self, population: Population, attack: Any, others: Sequence[Any] = (), *, merged: bool = False
    ) -> None:
        self._population, self._attack, self._merged = population, attack, merged
        self._own, aim = str(poisoning_of(attack) or ""), aim_of(population, attack)
        self._aims: dict[str, Aim] = {} if aim is None else {self._own: aim}
        for other in others:
            known = aim_of(population, other)
            if known is not None:
                self._aims.setdefault(str(other), known)
        self._curves: dict[str, list[float]] = {name: [] for name in self._aims}
        self._last: dict[str, dict[str, float]] = {}
        self._finished: list[int] = []
        self._left: int | None = None

    def hear(self, round: Round) -> None:
        self.attacked(round.number, round.malicious)
        if round.served is not None and not round.diverged:
            self.measure(round.served, round.finished)

    def report(self, trace: Trace) -> None:
        self.tell(trace, **self.found())

    def attacked(self, number: int, malicious: NDArray[np.int64]) -> None:
        """Note that these malicious members take part in round `number`."""
        if len(malicious) and self._attack is not None and self._attack.active(number):
            self._left = number + 1

    @torch.no_grad()
    def measure(self, models: Tensor, finished: int) -> None:
        """Measure all aims after `finished` rounds, as means over the models [m, d] that honest clients have."""
        self._finished += [finished] if self._aims else []
        for name, aim in self._aims.items():
            reports = [aim.rates(partial(predict, self._population, model)) for model in models]
            self._last[name] = {key: float(np.mean([report[key] for report in reports])) for key in reports[0]}
            self._curves[name].append(self._last[name]["attack_success"])

    def found(self) -> dict[str, Any]:
        """The measures for the trace; empty without an aim or a measurement.

        For the simulation's own attack: `attack_success` and the other rates of its aim at the last measurement,
        `attack_success_curve` with the success at all measurements, and `aim`, its name. If the attack ended before the
        training, there are also `durability` and `durability_censored`, see :func:`durability`. For all aims: `aims`,
        the mean success over the last tenth of the measurements, by name; that of the last one, if models are `merged`
        before it, as all others are of other models.
        """
        more: dict[str, Any] = {}
        if self._own in self._last:
            curve = self._curves[self._own]
            more |= {**self._last[self._own], "attack_success_curve": list(curve), "aim": self._own}
            if self._left is not None and self._left < self._finished[-1]:
                more["durability"], more["durability_censored"] = durability(self._finished, curve, self._left)
        if self._last:
            more["aims"] = {
                name: curve[-1] if self._merged else tail_mean(curve) for name, curve in self._curves.items()
            }
        return more


def durability(finished: Sequence[int], curve: Sequence[float], left: int) -> tuple[int, bool]:
    """The number of rounds after `left` until the success falls below one half, and whether it never falls.

    The attacker is gone after `left` rounds, and `curve` holds the success after each number of rounds in `finished`.
    The number is 0 when the success is below one half at the first measurement without the attacker. When the success
    never falls, it is the number of rounds until the end, which is a lower bound.
    """
    after = [(rounds, value) for rounds, value in zip(finished, curve, strict=True) if rounds >= left]
    fallen = next((place for place, (_, value) in enumerate(after) if value < SUCCESSFUL), None)
    if fallen is None:
        return (after[-1][0] - left if after else 0), True
    return (after[fallen][0] - left if fallen else 0), False


def tail_mean(curve: Sequence[float]) -> float:
    """The mean over the last tenth of the measurements, at least one."""
    return float(np.mean(curve[-math.ceil(len(curve) / 10) :]))
