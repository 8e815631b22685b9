"""Computes the value of each claim from the scores and records of a run, its interval over the seeds, and a verdict.

The value is computed from what the run reports: means over the seeds, and over the worlds. A seed fixes the data,
initial weights and random choices for all defenses alike, so the results of a seed are left out together. The measure
is computed R times, each time without one seed. This gives the standard error of the jackknife and the interval
`value ± t_{1-alpha/2, R-1} · error`. For sums and differences this is the paired Student t interval; for quotients it
is the interval of the quotient of the means. A worst case or a resilience alone has the interval of the score, which
allows for the choice of the attack; in larger expressions the attack counts as given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.errors import did_you_mean
from robustfl.evaluation.claims.claim import UNDECIDED, UNMEASURED, Claim, Expectation
from robustfl.evaluation.claims.language import Expression, MeasureError, Node, Number, Reading
from robustfl.evaluation.claims.names import Cells, Names
from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.axes import BorneFault, FaultsWorld
from robustfl.evaluation.results.records import Record, more_of
from robustfl.evaluation.results.summaries import (
    ClaimReport,
    ScoredCell,
    ScoredDefense,
    ScoredPoint,
    ScoredWorldReport,
    Scores,
)
from robustfl.evaluation.statistics import FloatArray, Interval, area, student_interval

Values = Mapping[str, Any]


class Unmeasured(Exception):
    """A reading has no value in these results; the text says why."""


@dataclass(frozen=True)
class Estimate:
    """A value, and the values of each seed [R], or None if it does not depend on the seed.

    `chosen` says that the value is a minimum over attacks; then `interval` is that of the score, if it has one.
    """

    value: float
    per_seed: FloatArray | None = None
    chosen: bool = False
    interval: Interval | None = None

    def seeds(self) -> FloatArray | float:
        """The value of each seed [R], or the one value that is the same for all seeds."""
        return self.value if self.per_seed is None else self.per_seed


def judged(
    claims: Sequence[Claim],
    names: Names,
    scores: Scores,
    records: Mapping[str, Record],
    faults: Sequence[FaultsWorld] = (),
) -> list[ClaimReport]:
    """Every claim with its measured value and verdict, as JSON values.

    `records` maps the ids of trials to records, and `faults` is what became of the fault suite.
    """
    results = _Results(names, scores, records, faults)
    return [_judged(claim, results, 1 - scores["settings"]["alpha"]) for claim in claims]


def _judged(claim: Claim, results: _Results, confidence: float) -> ClaimReport:
    measure, expected = Expression.read(claim.measure), Expectation.read(claim.expect)
    found: ClaimReport = {
        "text": claim.text,
        "source": claim.source,
        "measure": claim.measure,
        "expect": claim.expect,
        "value": None,
        "ci": None,
        "difference": None,
        "per_seed": [],
        "parts": {},
        "reason": "",
        "verdict": UNMEASURED,
    }
    known, reasons = {}, []
    for reading in measure.readings():
        try:
            known[reading.text] = results.read(measure, reading)
        except Unmeasured as reason:
            reasons.append(str(reason))
        found["parts"][reading.text] = known[reading.text].value if reading.text in known else None
    try:
        if reasons:
            raise Unmeasured("; ".join(dict.fromkeys(reasons)))
        result = _computed(measure.root, known)
        if not math.isfinite(result.value) or not np.isfinite(result.seeds()).all():
            raise Unmeasured("the result is not a finite number")
    except Unmeasured as reason:
        return {**found, "reason": str(reason)}
    found["value"], found["difference"] = result.value, expected.distance(result.value)
    if result.per_seed is None:
        return {**found, "ci": [result.value] * 2, "verdict": expected.verdict(result.value, result.value)}
    found["per_seed"] = result.per_seed.tolist()
    if len(result.per_seed) == 1:
        return {**found, "verdict": UNDECIDED, "reason": "one seed has no interval: run more seeds"}
    if result.chosen and isinstance(measure.root, Reading):
        if result.interval is None:
            lacking = f"{len(result.per_seed)} seeds have no interval of a worst case: run more seeds"
            return {**found, "verdict": UNDECIDED, "reason": lacking}
        low, high = result.interval
    else:
        half = _half_width(measure.root, known, confidence)
        low, high = result.value - half, result.value + half
    return {**found, "ci": [low, high], "verdict": expected.verdict(low, high)}


def _half_width(root: Node, known: Mapping[str, Estimate], confidence: float) -> float:
    """Half the width of a measure's interval: Student's t times the standard error of the jackknife over the seeds."""
    without = {text: Estimate(estimate.value, _left_out(estimate.per_seed)) for text, estimate in known.items()}
    values = _computed(root, without).per_seed
    assert values is not None, "something depends on the seed"
    low, high = student_interval(values, confidence) or (0.0, 0.0)
    return (len(values) - 1) * (high - low) / 2  # without one seed, a mean moves by 1 / (R - 1) of its distance


def _left_out(per_seed: FloatArray | None) -> FloatArray | None:
    """The mean over all seeds but one, for each seed that is left out: [R] -> [R]."""
    return None if per_seed is None else np.asarray((per_seed.sum() - per_seed) / (len(per_seed) - 1))


def _computed(node: Node, known: Mapping[str, Estimate]) -> Estimate:
    """The value of a tree, and its value for each seed."""
    if isinstance(node, Number):
        return Estimate(node.value)
    if isinstance(node, Reading):
        return known[node.text]
    operands = [_computed(operand, known) for operand in node.operands]
    if node.symbol in ("min", "max"):  # by the mean: an attacker, too, chooses without knowing the seed
        choose = min if node.symbol == "min" else max
        return choose(operands, key=lambda estimate: estimate.value)
    if node.symbol == "abs":
        return _applied("*", operands[0], Estimate(math.copysign(1.0, operands[0].value)))
    return _applied(node.symbol, *operands)


_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
}


def _applied(symbol: str, left: Estimate, right: Estimate) -> Estimate:
    if symbol == "/" and (right.value == 0 or not np.all(right.seeds())):
        raise Unmeasured("a division by zero")
    with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are found at the end
        value = float(_ARITHMETIC[symbol](left.value, right.value))
        if left.per_seed is None and right.per_seed is None:
            return Estimate(value)
        return Estimate(value, np.asarray(_ARITHMETIC[symbol](left.seeds(), right.seeds())))


@dataclass(frozen=True)
class _Results:
    """Computes the values of readings; the value over several worlds is the mean of their values."""

    names: Names
    scores: Scores
    records: Mapping[str, Record]
    faults: Sequence[FaultsWorld]

    def read(self, measure: Expression, reading: Reading) -> Estimate:
        try:
            place = self.names.place(measure, reading)
        except MeasureError as error:  # the suite was changed for this run, for example by --set
            raise Unmeasured(error.problem) from None
        worlds = {world["world"]: world for world in self.scores["worlds"]}
        found = [self._in_world(worlds[label], place, reading) for label in place.worlds]
        per_seed = [estimate.per_seed for estimate in found if estimate.per_seed is not None]
        value = float(np.mean([estimate.value for estimate in found]))
        if not per_seed:
            return Estimate(value)
        seeds = np.mean([estimate.seeds() + np.zeros(len(per_seed[0])) for estimate in found], axis=0)
        intervals = [estimate.interval for estimate in found if estimate.interval is not None]
        # The spread of a mean is at most the mean of the spreads, however the worlds depend on each other.
        ends = np.mean(intervals, axis=0) if len(intervals) == len(found) else None
        interval = None if ends is None else (float(ends[0]), float(ends[1]))
        return Estimate(value, seeds, chosen=any(estimate.chosen for estimate in found), interval=interval)

    def _in_world(self, world: ScoredWorldReport, place: Cells, reading: Reading) -> Estimate:
        defense = next(own for own in world["defenses"] if own["defense"] == place.defense)
        where = f"{place.defense} in {world['world']!r}" if len(self.scores["worlds"]) > 1 else place.defense
        if reading.function in _UTILITIES and not world["informative"]:
            raise Unmeasured(f"{where}: utility means nothing where training without attack hardly beats guessing")
        if reading.function == "R":
            return _resilience(defense, where, len(world["seeds"]))
        if place.fault is not None:
            return self._read_cell(reading, *self._borne(world["world"], place, where))
        f = place.f[world["world"]]
        point = next((point for point in defense["curve"] if point["f"] == f), None)
        if point is None:
            raise Unmeasured(f"{where}: f={f} was not played")
        if reading.function in ("W", "M"):
            return _over_attacks(reading.function, point, f"{where} with f={f}", len(world["seeds"]))
        cell = point["attacks"].get(place.attack)
        shown = "no attack" if place.attack == NO_ATTACK else place.attack
        where = f"{where} under {shown} with f={f}"
        if cell is None:
            raise Unmeasured(f"{where} was not played")
        return self._read_cell(reading, cell, where)

    def _borne(self, world: str, place: Cells, where: str) -> tuple[BorneFault, str]:
        """What became of a defense under a fault of the fault suite, and how that is called."""
        told = [own for found in self.faults if found["world"] == world for own in found["defenses"]]
        defense = next((own for own in told if own["defense"] == place.defense), None)
        where = f"{where} under the fault {place.fault}"
        cell = None if defense is None else defense["faults"].get(place.fault or "")
        if cell is None:
            reason = None if defense is None else defense["invalid"]
            raise Unmeasured(f"{where} was not played{f': {reason}' if reason else ''}")
        return cell, where

    def _read_cell(self, reading: Reading, cell: ScoredCell | BorneFault, where: str) -> Estimate:
        if reading.function in ("U", "accuracy"):
            return _of_cell(reading.function, cell, where)
        values = [self._of_trial(reading, trial, cell, where) for trial in cell["trials"]]
        fixed = reading.function.startswith("bytes") and len(set(values)) == 1
        return Estimate(float(np.mean(values)), None if fixed else np.array(values))

    def _of_trial(self, reading: Reading, trial: str | None, cell: ScoredCell | BorneFault, where: str) -> float:
        record = self.records.get(trial or "")
        metrics = None if record is None else record.get("metrics")
        if record is None or metrics is None:
            raise Unmeasured(f"{where}: {_state(cell)}")
        if reading.function == "more":
            name = reading.arguments["name"].text
            value = _item(_entry(more_of(record), name, name, where), reading.get("item"), name, where)
        elif reading.function == "seconds":
            phase = reading.arguments["phase"].text
            times = {key.removesuffix("_s"): value for key, value in (record.get("time") or {}).items()}
            value = _entry(times, phase, "seconds", where)
        elif reading.function.startswith("bytes"):
            direction = reading.function.removeprefix("bytes_")
            value = _entry(record.get("bytes") or {}, f"{direction}_per_client_round", reading.function, where)
        else:
            value = _entry(metrics, reading.function, reading.function, where)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Unmeasured(f"{where}: {reading.text} is no number in seed {record['seed']}")
        return float(value)


_UTILITIES = ("R", "W", "M", "U")


def _state(cell: ScoredCell | BorneFault) -> str:
    """Why a cell has no value: the statuses of its unfinished trials, and the first reason."""
    states = [state for state in dict.fromkeys(cell["status"]) if state not in ("ok", "diverged")]
    reasons: Any = cell.get("reasons", [])
    return ": ".join([", ".join(states) or "no record", *reasons[:1]])


def _worst(point: ScoredPoint, where: str, seeds: int) -> FloatArray:
    """The utility of each seed under the attack that is worst on average; 0 if the defense cannot be used."""
    if point["invalid"] is not None:
        return np.zeros(seeds)
    if point["W"] is None or point["incomplete"]:
        lacking = ", ".join(point["incomplete"]) or "all attacks"
        raise Unmeasured(f"{where}: trials are missing or failed under {lacking}")
    return np.array(point["attacks"][point["worst_attack"] or ""]["u"], dtype=np.float64)


def _resilience(defense: ScoredDefense, where: str, seeds: int) -> Estimate:
    attacked = [point for point in defense["curve"] if point["f"] > 0]
    worst = [_worst(point, f"{where} with f={point['f']}", seeds) for point in attacked]
    if defense["R_unt"] is None:
        raise Unmeasured(f"{where} has no resilience{'' if attacked else ': nobody attacks'}")
    seeds_of_area = area([point["fraction"] for point in attacked], np.array(worst))
    refused = all(point["invalid"] is not None for point in attacked)
    return Estimate(float(defense["R_unt"]), seeds_of_area, chosen=not refused, interval=_pair(defense["R_unt_ci"]))


def _pair(ends: Sequence[float] | None) -> Interval | None:
    return None if ends is None else (ends[0], ends[1])


def _over_attacks(function: str, point: ScoredPoint, where: str, seeds: int) -> Estimate:
    worst = _worst(point, where, seeds)
    if function == "W":
        interval = _pair(point["W_ci"])
        return Estimate(float(point["W"] or 0.0), worst, chosen=point["invalid"] is None, interval=interval)
    if point["M"] is None:
        raise Unmeasured(f"{where}: {point['invalid'] or 'no attack was played'}")
    cells = [cell for attack, cell in point["attacks"].items() if attack != NO_ATTACK and cell["U"] is not None]
    return Estimate(point["M"], np.mean(np.array([cell["u"] for cell in cells], dtype=np.float64), axis=0))


def _of_cell(function: str, cell: ScoredCell | BorneFault, where: str) -> Estimate:
    values = cell["u"] if function == "U" else cell["accuracy"]
    if None in values:
        raise Unmeasured(f"{where}: {_state(cell)}")
    sample = np.array(values, dtype=np.float64)
    return Estimate(cell["U"] if function == "U" and cell["U"] is not None else float(sample.mean()), sample)


def _entry(values: Values, key: str, name: str, where: str) -> Any:
    if values.get(key) is None:
        known = did_you_mean(key, [known for known, value in values.items() if value is not None])
        raise Unmeasured(f"{where}: the records hold no {name!r}. {known}".strip())
    return values[key]


_SUMMARIES: dict[str, Callable[[Any], float]] = {
    "mean": np.mean,
    "min": min,
    "max": max,
    "last": lambda values: values[-1],
}


def _item(value: Any, item: str | None, name: str, where: str) -> Any:
    """One number of a measurement, which may have several: the one with a key or a position, or a summary of all."""
    if not isinstance(value, list | dict):
        if item is not None:
            raise Unmeasured(f"{where}: {name!r} is one number. Leave `item` out")
        return value
    if item is None:
        raise Unmeasured(f"{where}: {name!r} is several numbers. Say which by `item`")
    values = dict(enumerate(value)) if isinstance(value, list) else value
    named = {str(key): entry for key, entry in values.items()}
    if item in named:
        return named[item]
    numbers = [entry for entry in values.values() if isinstance(entry, int | float)]
    if item in _SUMMARIES and numbers and len(numbers) == len(values):
        return float(_SUMMARIES[item](numbers))
    return _entry(named, item, f"{name}, item={item}", where)
