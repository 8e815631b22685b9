"""What a defense gives away to whoever watches: the privacy axis P, beside what its privacy account promises.

Formula, for one attack on privacy: ``leak = max(reconstructed, labels / 2, members)``. `reconstructed` is the share of
samples that are recovered with a PSNR of 20 dB, above what both controls seem to recover. ``labels = (accuracy -
chance) / (1 - chance)``; it counts half, as labels are less than samples. ``members = max (TPR - FPR) / (1 - FPR)``
over the rates of false alarms 1 % and 5 %. P is 1 minus the mean leak over the seeds of the attack that finds out most.

P stands beside the score, is no part of it, and belongs to one observer. It bounds nothing: another attack may find out
more. An account does, for those observers from whom its noise protects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from robustfl.evaluation.labels import NO_ATTACK
from robustfl.evaluation.results.axes import Leak, PrivacyDefense, PrivacyWorld
from robustfl.evaluation.results.records import Record, more_of, tail_of
from robustfl.evaluation.score.curve import within_scale
from robustfl.evaluation.statistics import minimum_interval
from robustfl.evaluation.suite.plan import Cell
from robustfl.evaluation.trust.leaks import allowed, recognisable

Records = Mapping[str, Record]
Values = Mapping[str, Any]

LABEL_WEIGHT = 0.5
"""How much a label counts, where a sample counts 1."""

FALSE_ALARMS = {"mia_tpr_1": 0.01, "mia_tpr_5": 0.05}
"""Measure of membership -> its rate of false alarms."""

MEASURED = (
    *("identified", "reconstructed", "reconstructed_control", "psnr", "ssim", "certified"),
    *("label_accuracy", "label_chance", "mia_tpr_1", "mia_tpr_5", "mia_auc"),
)
"""The measures of attacks on privacy that a summary tells, as means over the seeds."""


def leak(values: Values) -> tuple[str, float] | None:
    """What leaks most to an attack with these measures, and how much, in [0, 1]; None where it measures nothing.

    >>> leak({"reconstructed": 0.3, "label_accuracy": 1.0, "label_chance": 0.2})
    ('labels', 0.5)
    >>> leak({"mia_tpr_1": 0.0595, "mia_tpr_5": 0.06})
    ('members', 0.05)
    """
    found: dict[str, float] = {}
    if "reconstructed" in values:
        found["samples"] = values["reconstructed"]
    if "label_accuracy" in values:
        chance = values.get("label_chance", 0.0)
        found["labels"] = LABEL_WEIGHT * (values["label_accuracy"] - chance) / (1 - chance) if chance < 1 else 0.0
    rates = [(values[name] - rate) / (1 - rate) for name, rate in FALSE_ALARMS.items() if name in values]
    if rates:
        found["members"] = max(rates)
    if not found:
        return None
    what = max(found, key=found.__getitem__)
    return what, round(min(max(found[what], 0.0), 1.0), 12)


def privacy_axis(
    cells: Iterable[Cell],
    records: Records,
    attacks: Sequence[str],
    observer: str | None,
    *,
    accuracy: str,
    confidence: float,
) -> list[PrivacyWorld]:
    """The privacy axis of every world in which somebody watched, or a mechanism was at work, as JSON values.

    `attacks` are the labels of the attacks on privacy, and `observer` is as whom they watch; None when a suite has
    none. The trials are those without malicious clients.
    """
    found: dict[str, dict[str, dict[int, Cell]]] = {}
    refused: dict[tuple[str, str], str] = {}
    for cell in cells:
        if cell.attack != NO_ATTACK:
            continue
        own = found.setdefault(cell.world, {}).setdefault(cell.defense, {})
        if cell.invalid:
            refused.setdefault((cell.world, cell.defense), cell.invalid)
        elif cell.trial is not None:
            own.setdefault(cell.seed, cell)
    worlds: list[PrivacyWorld] = []
    for world, defenses in found.items():
        told = {name: [records.get(c.trial.id) for c in seeds.values() if c.trial] for name, seeds in defenses.items()}
        if not any(_watched(record) for own in told.values() for record in own):
            continue
        rows = [
            _defense(name, own, attacks, observer, refused.get((world, name)), accuracy, confidence)
            for name, own in told.items()
        ]
        worlds.append({"world": world, "observer": observer, "defenses": rows})
    return worlds


def _watched(record: Record | None) -> bool:
    """Whether a trial measured a leak, or had a privacy account."""
    more = more_of(record)
    return _account(record) is not None or "privacy_unfit" in more


def _account(record: Record | None) -> Values | None:
    account: Values | None = None if record is None else record.get("account")
    return account


def _defense(
    name: str,
    records: Sequence[Record | None],
    attacks: Sequence[str],
    observer: str | None,
    invalid: str | None,
    accuracy: str,
    confidence: float,
) -> PrivacyDefense:
    mores = [more_of(record) for record in records]
    accounts = [account for record in records if (account := _account(record)) is not None]
    leaks = [found for attack in attacks if (found := _leak(attack, records)) is not None]
    epsilon: dict[str, float] = {}
    for more in mores:
        for seen_by, loss in (more.get("epsilon") or {}).items():
            epsilon[seen_by] = max(loss, epsilon.get(seen_by, 0.0))
    counted = {
        found["attack"]: np.array(found["kept_per_seed"], dtype=np.float64)
        for found in leaks
        if found["leak"] is not None
    }
    whole = bool(records) and len(counted) == len(leaks) > 0
    worst = min(counted, key=lambda attack: float(counted[attack].mean())) if whole else None
    finished = [value for record in records if (value := tail_of(record, accuracy)) is not None]
    return {
        "defense": name,
        "P": None if worst is None else float(counted[worst].mean()),
        "P_ci": None if worst is None else within_scale(minimum_interval(list(counted.values()), confidence)),
        "worst_attack": worst,
        "invalid": None if records else invalid,
        "accuracy": float(np.mean(finished)) if finished else None,
        "epsilon": epsilon,
        "delta": accounts[0]["delta"] if accounts else None,
        "unit": accounts[0]["unit"] if accounts else None,
        "relation": accounts[0]["relation"] if accounts else None,
        "protected": observer is not None and observer in epsilon,
        "voids": _distinct(text for account in accounts for text in _void_texts(account)),
        "notes": _distinct(text for more in mores for text in more.get("privacy_notes") or ()),
        "stopped": next((str(more["stopped_by"]) for more in mores if more.get("stopped_by")), None),
        "oracles": _distinct(text for more in mores for text in more.get("privacy_oracles") or ()),
        "unfit": _distinct(
            text for more in mores for name in ("privacy_unfit", "mia_unfit") for text in more.get(name) or ()
        ),
        "attacks": leaks,
    }


def _void_texts(account: Values) -> list[str]:
    return [f"{void['code']}: {void['text']}" for void in account["voids"]]


def _distinct(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _leak(attack: str, records: Sequence[Record | None]) -> Leak | None:
    """One attack against one defense; None where it said nothing in any trial."""
    seen = [_measures(record, attack) for record in records]
    if not any(seen):
        return None
    found = [leak(values) for values in seen]
    known = [one for one in found if one is not None]
    names = [name for name in MEASURED if any(name in values for values in seen)]
    measured = {name: float(np.mean([values[name] for values in seen if name in values])) for name in names}
    mean = leak(measured)
    whole = len(known) == len(found)
    return {
        "attack": attack,
        "leak": float(np.mean([value for _, value in known])) if whole else None,
        "what": None if mean is None else mean[0],
        "kept_per_seed": [None if one is None else 1.0 - one[1] for one in found],
        "measured": measured,
        "by_round": _by_round(attack, records),
        "bounds": _bounds(attack, records),
    }


def _by_round(attack: str, records: Sequence[Record | None]) -> dict[str, dict[str, float]]:
    """The measures of an attack in each watched round, as means over the seeds; empty where one round was watched."""
    found: dict[str, dict[str, list[float]]] = {}
    for record in records:
        more = more_of(record)
        for name in MEASURED:
            for label, value in (more.get(f"{name}_by") or {}).items():
                spy, _, number = label.rpartition(", round ")
                if spy == attack and value is not None:
                    found.setdefault(number, {}).setdefault(name, []).append(float(value))
    if len(found) < 2:
        return {}
    rounds = sorted(found, key=lambda number: (len(number), number))
    return {number: {name: float(np.mean(values)) for name, values in found[number].items()} for number in rounds}


def _measures(record: Record | None, attack: str) -> dict[str, float]:
    """The measures of an attack over all watched rounds of a trial."""
    more = more_of(record)
    told = ((name, (more.get(f"{name}_by") or {}).get(attack)) for name in MEASURED)
    return {name: float(value) for name, value in told if value is not None}


def _bounds(attack: str, records: Sequence[Record | None]) -> dict[str, float]:
    """The most that measures of an attack can be by the accounts of these trials, the largest of all seeds."""
    found: dict[str, float] = {}
    for record in records:
        if record is None:
            continue
        recognised = {name: bound for name, bound in recognisable(record).items() if name == attack}
        for name, bound in (*allowed(record).items(), *(("identified", bound) for bound in recognised.values())):
            found[name] = max(bound, found.get(name, 0.0))
    return found
