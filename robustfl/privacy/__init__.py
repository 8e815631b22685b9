"""Privacy accounting and auditing: what releases with noise cost, and whether a mechanism is what it claims to be.

Mathematics alone: nothing here knows what a federation is, and only numpy and scipy are needed. A newcomer starts with
the example below.

**The price.** A :class:`Release` is Gaussian noise on something of bounded sensitivity, in some rounds. Who takes part
is :class:`Everyone`, :class:`Poisson` or a :class:`FixedCohort`, whose true price is several times that of the formula
for Poisson sampling. :func:`epsilon`, :func:`delta` and :func:`curve` price any list of releases together, as upper
bounds, never as approximations; :func:`noise_multiplier` finds the noise for a target. :func:`second_opinion` asks
Opacus, and insists that it agrees. The arithmetic is in :class:`Composition` and in the pairs of ``pairs.py``.

**The account.** An :class:`Account` of :class:`Entry` values says what was released and what each observer saw of it
(a :class:`Sight`; :func:`seen_by` for the usual ones). Each observer has an ε of its own, since noise that a server
adds does not protect from that server.

**Correlated noise.** :func:`optimal` and :func:`square_root` factorise the prefix sums (a :class:`Factorisation`), so
that the noise of one round cancels that of others; :func:`independent` is what they are compared with.

**Compatibility.** A :class:`Situation` is a mechanism with a rule, a channel and a sampling, and :func:`standing` says
whether its claim holds, is void, or cannot be made, with a code and the remedy. :func:`noise_to_signal` says how much
of a noised message is noise. The table behind it is in ``compatibility.py``.

**The audit.** A :class:`Claim` is a mechanism, as a plain function of records and a generator, with what it says about
itself. :func:`audit` tries to refute it and gives a :class:`Verdict`. Its instruments can be used alone: :func:`replay`
plays rounds twice with other records and the same randomness; :func:`calibration` and :func:`one_run` read the traces
of canaries (:func:`traces`). :func:`steinke_bound`, :func:`f_dp_bound` and :func:`epsilon_from_rates` are the lower
bounds of ε that follow from guesses, :func:`membership_bound` and :func:`reconstruction_bound` say what an attack can
reach at most, and :func:`clopper_pearson` is the interval of a measured rate.

>>> poisson = Release(noise_multiplier=2.0, sampling=Poisson(rate=0.2), rounds=50)
>>> fixed = Release(noise_multiplier=2.0, sampling=FixedCohort(size=20, population=100), rounds=50)
>>> round(epsilon([poisson], delta=1e-3), 4), round(epsilon([fixed], delta=1e-3), 4)
(2.3555, 7.8596)
>>> round(noise_multiplier(target_epsilon=8.0, delta=1e-3, rounds=25), 2)  # everybody takes part in 25 rounds
2.4
"""

from robustfl.privacy.account import OBSERVERS, Account, AccountReport, Entry, Price, Sight, Unit, Void, merged, seen_by
from robustfl.privacy.accountant import curve, delta, epsilon, noise_multiplier
from robustfl.privacy.bounds import (
    clopper_pearson,
    epsilon_from_rates,
    gaussian_mu,
    membership_bound,
    reconstruction_bound,
)
from robustfl.privacy.canaries import OneRun, Traces, calibration, one_run, traces
from robustfl.privacy.claim import Claim, Finding, Mechanism
from robustfl.privacy.compatibility import (
    Level,
    Reason,
    RuleFacts,
    Situation,
    Standing,
    beats_geometry,
    noise_to_signal,
    standing,
)
from robustfl.privacy.composition import Composition
from robustfl.privacy.correlated import Factorisation, independent, mean_error_bounds, optimal, square_root
from robustfl.privacy.guesses import ceiling, f_dp_bound, f_dp_refuted, steinke_bound, steinke_p_value
from robustfl.privacy.opinion import Opinion, second_opinion
from robustfl.privacy.releases import Everyone, FixedCohort, Poisson, Relation, Release, Sampling
from robustfl.privacy.replaying import replay
from robustfl.privacy.verdict import Audit, Verdict, audit

__all__ = [
    "OBSERVERS",
    "Account",
    "AccountReport",
    "Audit",
    "Claim",
    "Composition",
    "Entry",
    "Everyone",
    "Factorisation",
    "Finding",
    "FixedCohort",
    "Level",
    "Mechanism",
    "OneRun",
    "Opinion",
    "Poisson",
    "Price",
    "Reason",
    "Relation",
    "Release",
    "RuleFacts",
    "Sampling",
    "Sight",
    "Situation",
    "Standing",
    "Traces",
    "Unit",
    "Verdict",
    "Void",
    "audit",
    "beats_geometry",
    "calibration",
    "ceiling",
    "clopper_pearson",
    "curve",
    "delta",
    "epsilon",
    "epsilon_from_rates",
    "f_dp_bound",
    "f_dp_refuted",
    "gaussian_mu",
    "independent",
    "mean_error_bounds",
    "membership_bound",
    "merged",
    "noise_multiplier",
    "noise_to_signal",
    "one_run",
    "optimal",
    "reconstruction_bound",
    "replay",
    "second_opinion",
    "seen_by",
    "square_root",
    "standing",
    "steinke_bound",
    "steinke_p_value",
    "traces",
]
