"""The attack that rolls the training out to its end, and pushes where the models that count become bad."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Le, Lt
from typing_extensions import Doc

from robustfl.threats import Knowledge, View
from robustfl.threats.updates.candidates import Found, SearchLine
from robustfl.threats.updates.constant_directions import steady_direction
from robustfl.threats.updates.planning.imagined import imagined
from robustfl.threats.updates.planning.planner import Objective, Planner
from robustfl.threats.updates.planning.rows import leading, sign_keeping
from robustfl.threats.updates.probing import Probe
from robustfl.threats.updates.searched import SearchedAttack
from robustfl.threats.updates.view import Whose, finite_rows, median_length

if TYPE_CHECKING:
    from torch import Tensor

NEARBY = (0.64, 0.8, 1.0, 1.25, 1.56)
"""Multiples of the last tau that rounds between two searches try."""

SIGN_KEEPING = (0.3, 1.0, 3.0)
"""The values of tau for candidates that keep the signs of an honest update."""


@dataclass(frozen=True, kw_only=True)
class PlannedDrift(SearchedAttack):
    """Planned drift: rolls the training out to its end, and pushes where the models that count become bad.

    Formula: from the present model w, the clients' momentum m and the server's optimiser, the attack imagines the
    rounds to come: ``m <- beta m + (1 - beta) g(w)``, ``w <- step(w, share m + c delta_k)``. Here g(w) is the update on
    the data that it knows, each client weighing the same, and delta_k is a unit direction for each round. The share of
    the mean that the defense keeps is measured; for a defense that counts signs, the votes are imagined instead. The
    directions maximise ``-mean sigmoid(3 (z_y - max_j z_j))``, with z the logits of samples of class y and j the other
    classes, which nearly is minus the balanced accuracy, over the models that the score counts:
    ``delta_k <- unit((1 - s) delta_k + s unit(gradient))`` with s = 0.6 and then 0.3, `steps` times. The first plan is
    the best of several starts: all weights grow, all weights shrink, and all weights but those of the last layer
    shrink, which stops units with a ReLU. Later plans start from the last one, and are made whenever a twelfth of all
    rounds or a fifth of those that were left have passed, so in every round near the end. c is how far the defense let
    the answer move along the plan in recent rounds (``c <- 0.7 c + 0.3 moved``); at first it is a quarter of the mean
    distance of honest updates from their mean.

    In a round with the direction p, the attack sends the candidate whose answer is farthest along p after the actual
    defense. With mu the honest mean, sigma the honest standard deviation, r the median length of honest updates and a
    the previous aggregate, the candidates are ``mu + tau r p``, ``a + tau r p``, ``mu + tau sigma sign(p)``,
    ``mu + tau (ext_p - mu)``, where ext_p holds in every coordinate the honest extreme on the side of p, and, as the
    rows of different clients, the f honest updates that are farthest along p plus ``tau r p``. tau is 0 or between
    0.08 and 5. Against defenses that do more than compare rows by products there are also honest updates plus
    ``tau r p``, in which the entries whose sign would turn are set to a hundredth of the honest entry.

    With ``data="own"`` the attack plans on the malicious clients' own data. With ``estimate="own"`` it sees no honest
    update either, and searches with updates that it computes on batches of its own data. With `late` it is honest at
    first, with ``open_loop`` it plans once. Outside a federation nothing can be planned, and p are the weights growing.

    Cost: a plan is about `steps` trainings of one client with `samples` samples over the rest of the rounds, and four
    times that for the first one. With the defaults and a small fully connected model, a trial takes up to 50 times as
    long as one without an attack, with half of the steps 30 times, and with ``late=0.8`` 10 times.

    Knowledge: the global models and the defense; the honest updates and the honest clients' data, or the malicious
    clients' own.

    References
    ----------
    The roll-out is the attack's own. For attacks that add up over rounds: S. P. Karimireddy, L. He, M. Jaggi. Learning
    from History for Byzantine Robust Optimization. ICML 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import PlannedDrift
    >>> from robustfl.defenses import GeometricMedian
    >>> honest = np.random.default_rng(0).normal(0.0, 0.1, size=(8, 3))
    >>> crafted = PlannedDrift()(honest, f=3, aggregate=GeometricMedian(), history=[np.zeros(3)], message="delta")
    >>> bool(GeometricMedian()(np.vstack([crafted, honest])).sum() > honest.mean(axis=0).sum())
    True
    """

    channels: ClassVar[tuple[str, ...] | None] = ("dense", "rewards")
    reference: ClassVar[str] = "Karimireddy et al., Learning from History for Byzantine Robust Optimization, ICML 2021"
    unfit: ClassVar[str] = (
        "in quick checks, as a trial takes up to 50 times as long as one without an attack; or without a "
        "federation, where nothing can be planned"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("data", "estimate")
    plans: ClassVar[bool] = True
    reach: ClassVar[tuple[float, float]] = (0.08, 5.0)

    data: Annotated[
        Whose, Doc("whose data the plan learns from: the honest clients', or the malicious clients' own")
    ] = "peers"
    estimate: Annotated[
        Whose, Doc("which updates are known: those of all honest clients, or what the attack computes on its own data")
    ] = "peers"
    aim: Annotated[
        Literal["accuracy", "target", "victim", "backdoor"],
        Doc(
            "what is wanted of the models: mistakes, the class `target`, mistakes on the data of the `victim`, or what "
            "the backdoor before this attack wants"
        ),
    ] = "accuracy"
    target: Annotated[int, Ge(0), Doc("class that the models should name for samples of other classes")] = 0
    victim: Annotated[
        int, Ge(0), Doc("place of the client whose accuracy should fall, among the honest clients with data")
    ] = 0
    tail: Annotated[
        float | None,
        Ge(0),
        Le(1),
        Doc("share of the rounds whose models count, from the end, 0 for the last alone; the score's when not given"),
    ] = None
    candidates: Annotated[int, Ge(1), Doc("number of values of tau on each line, including 0")] = 15
    search_every: Annotated[int, Ge(1), Doc("largest number of rounds from one search to the next")] = 4
    plan_every: Annotated[
        int | None,
        Ge(1),
        Doc("rounds from one plan to the next; a fifth of those that are left, or a twelfth of all, when not given"),
    ] = None
    steps: Annotated[
        int, Ge(1), Doc("steps that improve the first plan; later plans begin with the last one and take half")
    ] = 16
    samples: Annotated[int, Ge(1), Doc("samples from which the imagined clients learn, together")] = 384
    open_loop: Annotated[bool, Doc("whether the first plan is kept for the whole run")] = False
    late: Annotated[
        float, Ge(0), Lt(1), Doc("share of the rounds after which the attack begins; it is honest before")
    ] = 0.0

    def required_knowledge(self) -> Knowledge:
        needed = Knowledge.HISTORY | Knowledge.DEFENSE
        needed |= Knowledge.PEERS if self.estimate == "peers" else Knowledge.OWN
        needed |= Knowledge.DATA if "peers" in (self.data, self._judges) else Knowledge.OWN
        return needed | Knowledge.OWN if self.late or self.data == "own" else needed

    def efforts(self) -> dict[str, float]:
        plans = {} if self.plan_every is None else {"plan_every": 1.0 / self.plan_every}
        return {**super().efforts(), "steps": self.steps, "samples": self.samples, **plans}

    @property
    def goal(self) -> str:
        return "planned" if self.aim == "accuracy" else f"planned {self.aim}"

    @property
    def _judges(self) -> Whose:
        """By whose data the attack judges models."""
        return "peers" if self.aim == "victim" else self.data

    def craft(self, view: View) -> Tensor:
        if self.late and view.trains and view.round < self.late * view.training.rounds:
            return view.own.clone()
        return super().craft(view)

    def honest(self, view: View) -> Tensor:
        if self.estimate == "peers":
            return view.honest
        known: dict[Hashable, tuple[int, Tensor]] = view.memory.setdefault("stand-ins", {})
        if view.receiver not in known or known[view.receiver][0] != view.round:
            known[view.receiver] = view.round, imagined(view) if view.trains else view.own
        return known[view.receiver][1]

    def plan(self, view: View) -> tuple[dict[str, Tensor], list[SearchLine]]:
        rows = self.honest(view)
        unit = self._planner(view).direction(view, rows) if view.trains else steady_direction(view, "ones")
        rows = rows[finite_rows(rows).tolist()]
        mean = rows.mean(dim=0)
        step = median_length(rows) * unit
        vectors = {
            "mean": mean,
            "unit": unit,
            "step": step,
            "spread": rows.std(dim=0, correction=0) * unit.sign(),
            "extreme": rows.amax(dim=0).where(unit >= 0, rows.amin(dim=0)) - mean,
            "leading": leading(rows, unit, view.f),
        }
        lines = [SearchLine("mean", direction) for direction in ("step", "spread", "extreme")]
        lines.append(SearchLine("leading", "step"))
        previous = view.previous_aggregate
        if previous is not None:
            vectors["previous"] = previous
            lines.append(SearchLine("previous", "step"))
        if not view.rotation_equivariant:
            for tau in SIGN_KEEPING:
                for number, row in enumerate(sign_keeping(rows, tau * step)):
                    vectors[f"signs {tau} {number}"] = row
                    lines.append(SearchLine(f"signs {tau} {number}"))
        return vectors, lines

    def objective(self, view: View, vectors: dict[str, Tensor]) -> Callable[[Tensor], float]:
        unit = vectors["unit"]
        return lambda answer: float(answer @ unit)

    def near(self, last: Found, lines: Sequence[SearchLine]) -> list[tuple[SearchLine, float]]:
        if last.line.direction is None:  # a row that keeps signs; another client's row may now lead farther
            kind = last.line.base.rpartition(" ")[0]
            return [(line, 0.0) for line in lines if line.direction is None and line.base.startswith(kind)]
        return [(last.line, factor * last.tau) for factor in NEARBY]

    def noted(self, view: View, probe: Probe, found: Found) -> None:
        answer = probe.answer(found.line.at(found.tau, probe.vectors)) if view.trains else None
        if answer is not None:
            self._planner(view).answered(answer, probe.vectors["mean"], probe.vectors["unit"])

    def _planner(self, view: View) -> Planner:
        """The planner of this trial, for the receiver of this round."""
        planners: dict[Hashable, Planner] = view.memory.setdefault("planners", {})
        if view.receiver not in planners:
            objective = Objective(
                learns=self.data,
                judges=self._judges,
                aim=self.aim,
                target=self.target,
                victim=self.victim,
                tail=self.tail,
            )
            planners[view.receiver] = Planner(
                objective=objective,
                every=self.plan_every,
                steps=self.steps,
                samples=self.samples,
                open_loop=self.open_loop,
            )
        return planners[view.receiver]
