"""Whether somebody who watches can tell on which samples clients were trained."""

from __future__ import annotations

from typing import Any, ClassVar

from robustfl.errors import ParameterError
from robustfl.federation.channels.contract import Channel
from robustfl.federation.observers.contract import Observer
from robustfl.federation.setup import Setup
from robustfl.federation.spying.gathering import Gathering
from robustfl.federation.spying.memberships import Bench, Exposure
from robustfl.federation.spying.plan import Spying
from robustfl.federation.spying.siblings import Kin, raised
from robustfl.federation.trace import Trace
from robustfl.measures import Measure
from robustfl.threats.privacy.capability import Capability

_DOCS = {
    "mia_tpr_1": "share of members that are found with 1 % false alarms",
    "mia_tpr_5": "share of members that are found with 5 % false alarms",
    "mia_tpr_01": "share of members that are found with 0.1 % false alarms, over all targets together",
    "mia_auc": "probability that a member has a higher score than another sample",
}

_ACTIVE = "federations that are trained on halves of the samples get no models from a spy"


def _measures() -> tuple[Measure, ...]:
    found = []
    for name, doc in _DOCS.items():
        most = f"{doc}; the largest of all attacks on membership"
        error = "standard error over the attacked federations"
        found += [
            Measure(name, most, unit="share", better="lower"),
            Measure(f"{name}_error", f"{error} of {name}", unit="share"),
            Measure(f"{name}_by", f"{doc}; by attack", unit="share", better="lower", form="by name"),
            Measure(f"{name}_error_by", f"{error} of {name}; by attack", unit="share", form="by name"),
        ]
    return (
        *found,
        Measure("mia_targets", "federations, trained on halves of the samples, on which membership was attacked"),
        Measure("mia_unfit", "attacks on membership that say nothing about such a federation, and why", form="texts"),
    )


class Membership(Observer):
    """Trains federations like this one on halves of the samples, and lets attacks tell who was trained on.

    Every federation is the target once, and the others are its shadows; see
    :mod:`robustfl.federation.spying.siblings`. Standard errors are over targets.

    Cost: `spying.federations` trainings, which share their computations, and for each attack as many answers.

    Parameters
    ----------
    setup, channel : the simulation
    spying : who watches, and with which attacks
    kin : how federations like this one are made
    """

    phase: ClassVar[str] = "spy"
    measures: ClassVar[tuple[Measure, ...]] = _measures()

    def __init__(self, setup: Setup, channel: Channel, spying: Spying, kin: Kin) -> None:
        self._setup, self._spying, self.kin = setup, spying, kin
        self._gathering = Gathering(setup, channel, spying)

    def report(self, trace: Trace) -> None:
        if trace.diverged:
            return
        active = [one for one in self._gathering.attacks if Capability.ACTIVE in one.required_knowledge()]
        attacks = [one for one in self._gathering.attacks if one not in active]
        unfit = [*self._gathering.unfit, *(f"{one}: {_ACTIVE}" for one in active)]
        found: dict[str, Exposure] = {}
        if attacks:
            try:
                bench = Bench(raised(self._setup, self._spying, self.kin), self._gathering, self._setup.seed)
            except ParameterError as error:
                unfit += [f"{attack}: {error}" for attack in attacks]
            else:
                found = {str(attack): bench.exposure(attack) for attack in attacks}
        told: dict[str, Any] = {}
        for attack, exposure in found.items():
            told["mia_targets"] = float(exposure.targets)
            for name, estimate in exposure.estimates.items():
                told.setdefault(f"{name}_by", {})[attack] = estimate.mean
                told.setdefault(f"{name}_error_by", {})[attack] = estimate.error
                if estimate.mean >= told.get(name, estimate.mean):
                    told |= {name: estimate.mean, f"{name}_error": estimate.error}
        self.tell(trace, **told, mia_unfit=unfit)
