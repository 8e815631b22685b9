"""Gives the defenses of a run their places in a published table, without playing the published defenses again.

What is published and the run are comparable where the attacks, the worlds, the numbers of malicious clients, the seeds
and the settings of the score are the same; everything else is refused, with the reason. Worlds are found by their
content. All defenses are then measured on the scale of the published baseline and ranked together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robustfl.errors import DataError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.evaluation.results.summaries import RankRow, ScoredWorldReport, Summary
from robustfl.evaluation.score.inputs import CellResult, ScoredWorld, ScoreSettings
from robustfl.evaluation.score.ranking import Ranking, Standing, standings
from robustfl.evaluation.score.score import scored_worlds
from robustfl.evaluation.statistics import paired_interval
from robustfl.evaluation.suite.matching import matched, with_settings

Found = Mapping[str, Mapping[str, Standing | None]]
"""What ranks are made from, by world and defense."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """A defense of the table beside a new one.

    `difference` is the mean over the seeds of the new one's resilience minus that of the neighbour, both under their
    own worst attacks, and `interval` the paired 95 % interval, None with fewer than two seeds. `verdict` is that of the
    ranks, which allow for the choice of the worst attack and for the number of comparisons.
    """

    row: RankRow
    difference: float | None
    interval: tuple[float, float] | None
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Placed:
    """A published table with further defenses.

    `worlds`, `ranking` and `pairs` are those of the scores of all defenses together. `added` are the labels of the new
    ones, and `labels` the published label of each world of the run.
    """

    added: tuple[str, ...]
    labels: Mapping[str, str]
    worlds: tuple[ScoredWorldReport, ...]
    ranking: tuple[RankRow, ...]
    pairs: tuple[dict[str, Any], ...]
    neighbours: Mapping[str, tuple[Neighbour, ...]]
    remarks: tuple[str, ...]


def place(published: RunResults, run: RunResults, *, around: int = 2) -> Placed:
    """Give every defense that a run has and a published table lacks its place in the table.

    `around` is the number of neighbours on each side to which a new defense is compared.

    Raises
    ------
    DataError : the two do not compare, or the run has no further defense; the message says why
    """
    first, second = published.summary, run.summary
    _require_equal_rules(first, second)
    labels = _labels(published, run)
    old = list(dict.fromkeys(row["defense"] for row in first["scores"]["ranking"]))
    added = [row["defense"] for row in second["scores"]["ranking"] if row["defense"] not in old]
    if not added:
        raise DataError(
            f"The run has no defense that the published table lacks: {', '.join(old)} are there already. Run the suite "
            "with a defense of your own: --set 'defenses=[\"my_rules.py:MyRule\"]'."
        )
    places = [(labels[world["world"]], world, added) for world in second["scores"]["worlds"]]
    outcomes = [
        outcome
        for label, world, names in [*((w["world"], w, old) for w in first["scores"]["worlds"]), *places]
        for outcome in _outcomes(label, world, names)
    ]
    settings: Mapping[str, Any] = first["scores"]["settings"]
    rules = ScoreSettings(**{key: settings[key] for key in _RULES if key in settings})
    known = {**first["components"]["attacks"], **second["components"]["attacks"]}
    knowledge = {attack: card.get("knowledge") or [] for attack, card in known.items()}
    worlds = [_scale(world) for world in first["scores"]["worlds"]]
    reports, found = scored_worlds(outcomes, worlds, rules, knowledge=knowledge)
    rows = {row["defense"]: row for run_ in (second, first) for row in run_["scores"]["ranking"]}
    allowed = {name for name, row in rows.items() if row["rank"] is not None}
    ranking, tests = standings(found, [*old, *added], margin=rules.margin, alpha=rules.alpha, ranked=allowed)
    for row in ranking:
        known_row = rows[row["defense"]]
        if "status" in known_row and "why" in known_row:
            row["status"], row["why"] = known_row["status"], known_row["why"]
    return Placed(
        added=tuple(added),
        labels=labels,
        worlds=tuple(_as_they_were(reports, first, second, labels)),
        ranking=tuple(ranking),
        pairs=tuple(vars(pair) for pair in tests.pairs),
        neighbours={name: _neighbours(name, ranking, tests, found, around) for name in added},
        remarks=tuple(_remarks(first, second, labels)),
    )


_RULES = ("accuracy", "threshold", "margin", "alpha")


def _require_equal_rules(first: Summary, second: Summary) -> None:
    """Refuse runs with other attacks, seeds or rules of the score."""
    told = [run["suite"].get("standard") for run in (first, second)]
    if told[0] is None or told[1] is None:
        which = "published table" if told[0] is None else "run"
        raise DataError(
            f"The {which} is not of a suite with a standard list of attacks, so nothing says that its numbers compare. "
            "Set `standard: standard-v2` in the suite and run it again."
        )
    if told[0]["hash"] != told[1]["hash"]:
        lists = " and ".join(f"{one['name']} (hash {one['hash']})" for one in told if one is not None)
        raise DataError(
            f"The published table and the run met other attacks: {lists}. Run the suite with `standard: "
            f"{told[0]['name']}`, in the version of robustfl that has the list with the published hash."
        )
    for key in (*_RULES, "plain", "aims_first"):
        values = [run["scores"]["settings"].get(key) for run in (first, second)]
        if values[0] != values[1]:
            raise DataError(
                f"The score should have the settings of the published table. Found {key}={values[1]!r} in the run, "
                f"and {values[0]!r} in what is published. Set `score` of the suite and run it again; its records hold "
                "all measures, so no trial is played."
            )
    if first["scores"]["settings"].get("aims_first"):
        raise DataError(
            "The published table is about aims: its utilities depend on the successes of attacks, which a summary does "
            "not hold. Run all defenses in one suite."
        )


def _labels(published: RunResults, run: RunResults) -> dict[str, str]:
    """The published label of each world of the run; refuses worlds, seeds and clients that differ."""
    ours, theirs = (with_settings(found.summary["scores"]["worlds"], found.records) for found in (published, run))
    pairs = list(matched(ours, theirs))
    lacking = [a["world"] for a, b in pairs if a is not None and b is None]
    extra = [b["world"] for a, b in pairs if b is not None and a is None]
    if lacking or extra:
        side, names = ("the published table", lacking) if lacking else ("the run", extra)
        more = f", and {len(names) - 1} more" if len(names) > 1 else ""
        raise DataError(
            f"The worlds should be the same (task and federation, whatever they are called). Found {names[0]!r}{more} "
            f"in {side} alone. Run the suite of the table, with `defenses` alone changed: its page has the command."
        )
    found = {}
    for a, b in pairs:
        assert a is not None  # both are there: see above
        assert b is not None
        for key in ("seeds", "f_grid", "clients", "chance", "test_size"):
            if a[key] != b[key]:
                raise DataError(
                    f"In {a['world']!r} `{key}` should be that of the published table, "
                    f"{a[key]}. Found {b[key]}. Run the suite of the table, with `defenses` alone changed."
                )
        found[b["world"]] = a["world"]
    return found


def _outcomes(label: str, world: ScoredWorldReport, names: Sequence[str]) -> Iterator[CellResult]:
    for defense in world["defenses"]:
        if defense["defense"] not in names:
            continue
        for point in defense["curve"]:
            for attack, cell in point["attacks"].items():
                reason = "; ".join(cell.get("reasons", []))
                for seed, trial, accuracy, status in zip(
                    *(world["seeds"], cell["trials"], cell["accuracy"], cell["status"]), strict=True
                ):
                    yield CellResult(
                        world=label,
                        defense=defense["defense"],
                        attack=attack,
                        f=point["f"],
                        seed=seed,
                        trial=trial or "",
                        accuracy=accuracy,
                        test_size=world["test_size"],
                        chance=world["chance"],
                        status=status,
                        reason=reason,
                    )


def _scale(world: ScoredWorldReport) -> ScoredWorld:
    """A published world, with its baseline: all defenses are measured on its scale."""
    return ScoredWorld(
        label=world["world"],
        clients=world["clients"],
        baseline=tuple(world["baseline"].get("per_seed", ())),
        chance=world["chance"],
        test_size=world["test_size"],
        seeds=tuple(world["seeds"]),
        effective_test_size=world.get("effective_test_size"),
        training=world.get("training"),
    )


def _as_they_were(
    reports: Sequence[ScoredWorldReport], first: Summary, second: Summary, labels: Mapping[str, str]
) -> Iterator[ScoredWorldReport]:
    """The scored worlds, with what only the runs themselves could find out: breakdown points, statuses, ids."""
    known = {(world["world"], d["defense"]): d for world in first["scores"]["worlds"] for d in world["defenses"]}
    new = {(labels[world["world"]], d["defense"]): d for world in second["scores"]["worlds"] for d in world["defenses"]}
    before = {world["world"]: world for world in first["scores"]["worlds"]}
    for report in reports:
        for defense in report["defenses"]:
            source: Any = {**new, **known}[report["world"], defense["defense"]]
            for key in ("breakdown", "status", "why"):
                if key in source:
                    defense[key] = source[key]
        yield {**before[report["world"]], **report}


def _neighbours(
    name: str, ranking: Sequence[RankRow], tests: Ranking, found: Found, around: int
) -> tuple[Neighbour, ...]:
    """The rows around a defense, and how it differs from each of them."""
    at = next(number for number, row in enumerate(ranking) if row["defense"] == name)
    beside = [row for row in ranking[max(0, at - around) : at + around + 1] if row["defense"] != name]
    return tuple(_neighbour(name, row, tests, found) for row in beside)


def _neighbour(name: str, row: RankRow, tests: Ranking, found: Found) -> Neighbour:
    other = row["defense"]
    columns: tuple[list[float], list[float]] = ([], [])
    strata: list[int] = []
    for number, world in enumerate(found.values()):
        mine, theirs = world.get(name), world.get(other)
        if mine is None or theirs is None:
            return Neighbour(row=row, difference=None, interval=None, verdict="incomplete")
        columns[0].extend(mine.worst.tolist())
        columns[1].extend(theirs.worst.tolist())
        strata += [number] * len(mine.seeds)
    if not strata:
        return Neighbour(row=row, difference=None, interval=None, verdict="no world tells anything")
    differences = np.subtract(*columns)
    mean = float(np.mean([differences[np.equal(strata, number)].mean() for number in set(strata)]))
    several = min(strata.count(number) for number in set(strata)) > 1
    return Neighbour(
        row=row,
        difference=mean,
        interval=paired_interval(*columns, strata) if several else None,
        verdict=_verdict(name, other, tests),
    )


def _verdict(name: str, other: str, tests: Ranking) -> str:
    if name not in tests.beats or other not in tests.beats:
        return f"{name if name not in tests.beats else other} has no rank"
    if other in tests.beats[name]:
        return "better"
    return "worse" if name in tests.beats[other] else "cannot be told apart"


def _remarks(first: Summary, second: Summary, labels: Mapping[str, str]) -> Iterator[str]:
    """What differs between the run and what is published, and need not forbid the comparison."""
    for key in ("robustfl", "commit", "numpy", "torch", "device"):
        old, new = first["provenance"].get(key), second["provenance"].get(key)
        if old is not None and old != new:
            yield f"{key}: {old} where the table was made, {new} where the run was made."
    before = {world["world"]: world["baseline"].get("per_seed") for world in first["scores"]["worlds"]}
    for world in second["scores"]["worlds"]:
        label, own = labels[world["world"]], world["baseline"].get("per_seed")
        if world["world"] != label:
            yield f"The world {world['world']!r} of the run is {label!r} in the table."
        if own != before[label]:
            yield (
                f"Plain averaging without an attack has other accuracies in the run than in the table ({label}): "
                "another machine or version. Differences may come from that, too."
            )
