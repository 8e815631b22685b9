"""What somebody who watches the training finds out about clients' data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch

from robustfl.federation.channels.contract import Channel
from robustfl.federation.observers.contract import Observer
from robustfl.federation.round import Round
from robustfl.federation.setup import Setup
from robustfl.federation.spying.gathering import Gathering
from robustfl.federation.spying.judging import LEVELS, Judge, Verdict
from robustfl.federation.spying.plan import Spying
from robustfl.federation.trace import Trace
from robustfl.measures import Measure

if TYPE_CHECKING:
    from torch import Tensor

PAIRS = 8
"""The largest number of pairs that a trial shows."""

_SHARES = {
    "identified": "samples that are the training sample nearest to their reconstruction",
    "reconstructed": "samples recovered with a PSNR of 20 dB or more, above both controls",
    "reconstructed_control": "samples that noise, or images of other clients, seem to recover with 20 dB or more",
    **{f"reconstructed_{level:g}": f"samples recovered with a PSNR of {level:g} dB or more" for level in LEVELS},
    "certified": "samples that the attack knows to be exact",
    "wrongly_certified": "samples that the attack takes for exact by mistake",
    "label_accuracy": "labels that are recovered",
    "label_chance": "labels that uniform guesses would recover",
}
_RECOGNISED = {
    "identified_error": ("standard error of `identified` over the sightings; by attack", "share"),
    "identified_prior": ("the most that `identified` would be for somebody who sees nothing; by attack", "share"),
    "identified_messages": ("sightings over which `identified` is the mean; by attack", ""),
}
_OTHERS = {
    "psnr": ("PSNR of reconstructions, 0 without one and 100 at most", "dB"),
    "ssim": ("structural similarity of reconstructions and samples, 0 without one", ""),
    "self_consistency": ("1 - cos of the true samples' gradient and what the attack takes for it", ""),
}


def _measures() -> tuple[Measure, ...]:
    named = {**{name: (f"share of {doc}", "share") for name, doc in _SHARES.items()}, **_OTHERS}
    found = []
    for name, (doc, unit) in named.items():
        better: Literal["lower"] | None = None if name.endswith(("control", "chance")) else "lower"
        found.append(Measure(name, f"{doc}; the largest of all attacks on privacy", unit=unit, better=better))
        found.append(
            Measure(
                f"{name}_by", f"{doc}; by attack, and by attack and round", unit=unit, better=better, form="by name"
            )
        )
    found += [Measure(f"{name}_by", doc, unit=unit, form="by name") for name, (doc, unit) in _RECOGNISED.items()]
    return (
        *found,
        Measure("training_samples", "training samples among which one is identified", unit="samples"),
        Measure("privacy_changes", "what clients do to their messages that hides samples", form="texts"),
        Measure("privacy_oracles", "attacks on privacy that were told something no spy knows", form="texts"),
        Measure("privacy_unfit", "attacks on privacy that say nothing about such a federation, and why", form="texts"),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Exhibit:
    """Samples beside their reconstructions: those of one attack, from the best to the worst.

    Attributes
    ----------
    attack : the label of the attack
    originals, found : [p, *shape], p <= :data:`PAIRS`, in numbers from 0 to 1; a sample without reconstruction is NaN
    psnr : [p] in dB, descending
    """

    attack: str
    originals: Tensor
    found: Tensor
    psnr: Tensor


class Leakage(Observer):
    """Plays attacks on privacy on what an observer has seen, once the training has ended.

    Parameters
    ----------
    setup, channel : the simulation
    spying : who watches, with which attacks, and what of the training

    Attributes
    ----------
    exhibit : samples beside reconstructions of the attack that recognised most of them; None without reconstructions
    """

    phase: ClassVar[str] = "spy"
    measures: ClassVar[tuple[Measure, ...]] = _measures()

    def __init__(self, setup: Setup, channel: Channel, spying: Spying) -> None:
        self._gathering = Gathering(setup, channel, spying)
        self._setup = setup
        self.exhibit: Exhibit | None = None

    def hear(self, round: Round) -> None:
        self._gathering.hear(round)

    def report(self, trace: Trace) -> None:
        if trace.diverged:
            return
        judge = Judge(self._gathering, self._setup.population, self._setup.seed)
        verdicts = [found for attack in self._gathering.attacks if (found := judge.verdict(attack)) is not None]
        judged = {verdict.attack for verdict in verdicts}
        blind = [attack for attack in self._gathering.attacks if attack not in judged]
        unfit = [*self._gathering.unfit, *(f"{attack}: {self._gathering.blind}" for attack in blind)]
        told: dict[str, Any] = {}
        for verdict in verdicts:
            for number in (None, *dict.fromkeys(verdict.rounds)):
                label = str(verdict.attack) + ("" if number is None else f", round {number}")
                for name, value in verdict.summary(number).items():
                    told.setdefault(f"{name}_by", {})[label] = value
                    if number is None:
                        told[name] = max(value, told.get(name, value))
            for name, value in verdict.recognition(judge.samples).items():
                told.setdefault(f"{name}_by", {})[str(verdict.attack)] = value
        if any(verdict.handed for verdict in verdicts):
            told["training_samples"] = float(judge.samples)
        oracles = [str(verdict.attack) for verdict in verdicts if verdict.oracle]
        if changes := self._gathering.changes:
            told["privacy_changes"] = changes
        self.tell(trace, **told, privacy_oracles=oracles, privacy_unfit=unfit)
        self.exhibit = exhibited(verdicts)


def exhibited(verdicts: list[Verdict]) -> Exhibit | None:
    """Pairs of the attack that recognised most samples, evenly spread from the best pair to the worst."""
    shown = [verdict for verdict in verdicts if verdict.pairs]
    if not shown:
        return None
    best = max(shown, key=lambda verdict: (verdict.summary()["identified"], verdict.summary()["psnr"]))
    values = torch.cat([pairs.psnr for pairs in best.pairs])
    order = values.argsort(descending=True, stable=True)
    places = order[np.unique(np.linspace(0, len(order) - 1, min(PAIRS, len(order))).round().astype(np.int64))]
    return Exhibit(
        attack=str(best.attack),
        originals=torch.cat([pairs.originals for pairs in best.pairs])[places].cpu(),
        found=torch.cat([pairs.found for pairs in best.pairs])[places].cpu(),
        psnr=values[places],
    )
