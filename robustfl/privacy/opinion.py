"""A second opinion on ε: the accountants of Opacus, which share no code and no method with ours.

Opacus computes an upper bound from Rényi divergences (RDP), which is looser, and an estimate with an error bound from a
privacy random variable (PRV), which is nearly tight (Gopi, Lee and Wutschitz, "Numerical Composition of Differential
Privacy", NeurIPS 2021). An ε of ours above the first, or away from the second, is an error of one of the programs: then
there is no number to be trusted. It needs ``pip install 'robustfl[privacy]'`` and takes seconds to import.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robustfl.errors import DisagreementError, MissingExtraError, ParameterError
from robustfl.privacy import accountant
from robustfl.privacy.releases import FixedCohort, Relation, Release, common_relation

ABOVE = 1e-2
"""How far ε may be above an upper bound of Opacus, in absolute terms: its accountants round, too."""

BELOW = 3e-2
"""How far ε may be below PRV: its bound is the estimate and 1e-2 of error, and the estimate is itself rounded."""

PRV_LIMIT = 100.0
"""PRV runs out of memory or stalls for very large ε; it is not asked when RDP says more than this."""

Event = tuple[float, float, int]
"""The noise multiplier, the rate and the number of releases."""


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """ε by our accountant, by RDP and by PRV (None where PRV cannot be asked)."""

    epsilon: float
    rdp: float
    prv: float | None

    def agree(self) -> None:
        """Raise a :class:`~robustfl.errors.DisagreementError` when they differ by more than the margins above."""
        advice = "Do not publish any of these numbers; please report the releases that led to them."
        if self.epsilon > self.rdp + ABOVE:
            raise DisagreementError(
                f"ε={self.epsilon:.6g} should be at most {ABOVE} above the RDP bound of Opacus, {self.rdp:.6g}. "
                + advice
            )
        if self.prv is not None and not self.prv - BELOW <= self.epsilon <= self.prv + ABOVE:
            raise DisagreementError(
                f"ε={self.epsilon:.6g} should lie between {BELOW} below and {ABOVE} above the PRV bound of Opacus, "
                f"{self.prv:.6g}. {advice}"
            )


def comparable(releases: Sequence[Release], relation: Relation) -> list[Event] | None:
    """The releases as Opacus counts them; None where it has no accountant for them.

    It knows Poisson sampling with one record more or less, and Gaussian noise without sampling, in which the exchange
    of a record is a larger sensitivity and nothing else.
    """
    events: list[Event] = []
    for release in releases:
        distance = release.joining if relation == "add_or_remove" else release.replacing
        sampled = release.rate < 1
        if distance is None or (sampled and (isinstance(release.sampling, FixedCohort) or relation == "replace_one")):
            return None
        events.append((release.noise_multiplier / distance, release.rate, release.rounds))
    return events


def second_opinion(releases: Sequence[Release], delta: float, relation: Relation | None = None) -> Opinion:
    """ε by three programs; an error when they disagree, when Opacus is missing, or when it cannot be asked."""
    kind = common_relation(releases) if relation is None else relation
    events = comparable(releases, kind)
    if events is None:
        raise ParameterError(
            "Opacus has no accountant for cohorts of fixed size, nor for exchanged records under Poisson sampling. "
            "Its formula for Poisson sampling would be far too small here, so there is no second opinion."
        )
    events = [event for event in events if event[2]]
    if not events or any(noise == 0 for noise, _, _ in events):
        raise ParameterError(f"There is no second opinion on releases without noise, or on none. Found {events}.")
    analysis = _opacus()
    rdp = _ask(analysis.RDPAccountant(), events, delta)
    prv = _ask(analysis.PRVAccountant(), events, delta) if rdp <= PRV_LIMIT else None
    opinion = Opinion(epsilon=accountant.epsilon(releases, delta, kind), rdp=rdp, prv=prv)
    opinion.agree()
    return opinion


def _ask(judge: Any, events: Sequence[Event], delta: float) -> float:
    judge.history = list(events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Opacus warns where its list of orders ends; the bound stays one
        return float(judge.get_epsilon(delta))


def _opacus() -> Any:
    try:
        from opacus import accountants
    except ImportError as error:
        raise MissingExtraError(
            "A second opinion on ε needs Opacus, which is not installed. "
            "Install it: pip install 'robustfl[privacy]'. Without it, all prices are those of our own accountant."
        ) from error
    return accountants
