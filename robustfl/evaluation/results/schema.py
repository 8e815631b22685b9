"""The shape of a run's results, declared once as data, and the check that walks it.

A shape is written as an example of itself: ``{"key": shape}`` asks for these keys (others may be there too; ``"key?"``
may be absent), ``{"*": shape}`` for any keys with such values, ``[shape]`` for a list of any length, ``(a, b)`` for a
list of exactly two, ``Maybe(shape)`` also for null, ``float`` for a finite number and a bare ``1`` for that very value.

>>> require_shape({"rows": [1, 2]}, {"rows": [int]}, "table")
>>> require_shape({"rows": [1, None]}, {"rows": [int]}, "table")
Traceback (most recent call last):
...
robustfl.errors.StoreError: `table.rows[1]` should be an integer. Found None. Repeat the run or its scoring with this \
version of robustfl.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from robustfl.errors import StoreError
from robustfl.evaluation.labels import SCHEMA
from robustfl.evaluation.results.measures import known_measures


@dataclass(frozen=True)
class Maybe:
    """The shape of what may be null."""

    shape: Any


NUMBER = Maybe(float)
INTERVAL = Maybe((float, float))  # [low, high]; null with a single seed
CURVE = [(int, NUMBER)]  # [[round, value], ...]

CELL = {"u": [NUMBER], "U": NUMBER, "ci": INTERVAL, "accuracy": [NUMBER], "trials": [Maybe(str)], "status": [str]}
POINT = {
    "f": int,
    "fraction": float,
    "W": NUMBER,
    "W_ci": INTERVAL,
    "M": NUMBER,
    "worst_attack": Maybe(str),
    "invalid": Maybe(str),
    "incomplete": [str],
    "attacks": {"*": CELL},
}
DEFENSE = {
    "defense": str,
    "R_unt": NUMBER,
    "R_unt_ci": INTERVAL,
    "curve": [POINT],
    "breakdown": Maybe({"f": int, "beta": NUMBER, "verdict": str}),
    "status?": str,
    "why?": [str],
}
WORLD = {
    "world": str,
    "clients": int,
    "seeds": [int],
    "f_grid": [int],
    "chance": float,
    "test_size": int,
    "baseline": {"mean": NUMBER},
    "informative": bool,
    "defenses": [DEFENSE],
}
RANK = {
    "rank": Maybe(int),
    "status?": str,
    "why?": [str],
    "defense": str,
    "R_mean": NUMBER,
    "R_min": NUMBER,
    "R_ci": INTERVAL,
    "W_at_max_f": NUMBER,
    "worst_attack": Maybe(str),
    "beats": [str],
}
FLAG = {
    "code": str,
    "level": str,
    "world": Maybe(str),
    "defense": Maybe(str),
    "attack": Maybe(str),
    "f": Maybe(int),
    "message": str,
}
CLAIM = {
    "text": str,
    "source": str,
    "measure": str,
    "expect": str,
    "value": NUMBER,
    "per_seed": [float],
    "ci": INTERVAL,
    "difference": NUMBER,
    "verdict": str,
    "reason": str,
    "parts": {"*": NUMBER},
}
SERVED = {"worst_class": NUMBER, "worst_client": NUMBER, "client_spread": NUMBER}
IGNORED = {"honest_ignored": NUMBER, "honest_unheard": NUMBER}
DETECTED = {"detection_precision": NUMBER, "detection_recall": NUMBER, "detection_auc": NUMBER}
LOST = Maybe({"mean": float, "ci": INTERVAL})
CAUGHT = DETECTED | {"honest_ignored": NUMBER}
SIDE_EFFECTS = {
    "world": str,
    "baseline": SERVED,
    "defenses": [
        {
            "defense": str,
            "undisturbed": [
                {
                    "f": [int],
                    **SERVED,
                    **IGNORED,
                    "utility_lost": LOST,
                    "worst_class_lost": LOST,
                    "worst_client_lost": LOST,
                }
            ],
            "caught": Maybe({"f": int, "attacks": {"*": CAUGHT}, "mean": CAUGHT, "hardest": Maybe(str)}),
        }
    ],
}
TARGETED_CELL = {
    "attack": str,
    "aim": str,
    "f": int,
    "success": NUMBER,
    "natural": NUMBER,
    "accuracy": NUMBER,
    "kept": NUMBER,
    "kept_per_seed?": [NUMBER],
    "durability": NUMBER,
    "outlasts": bool,
    "informative": bool,
    "effectiveness": NUMBER,
}
TARGETED = {
    "world": str,
    "defenses": [
        {
            "defense": str,
            "T": NUMBER,
            "T_ci": INTERVAL,
            "worst_attack": Maybe(str),
            "f": Maybe(int),
            "invalid": Maybe(str),
            "attacks": [TARGETED_CELL],
        }
    ],
}
BORNE = {
    **dict.fromkeys(("U", "recovery", "recovered", "lost_rows", "held_rounds", "honest_ignored"), NUMBER),
    "u": [NUMBER],
    "ci": INTERVAL,
    "accuracy": [NUMBER],
    "trials": [Maybe(str)],
    "status": [str],
}
FAULTS = {
    "world": str,
    "defenses": [
        {
            "defense": str,
            "told": int,
            "F": NUMBER,
            "worst": Maybe(str),
            "invalid": Maybe(str),
            "faults": {"*": BORNE},
        }
    ],
}
TRIGGER = {
    "world": str,
    "aim": str,
    "height": int,
    "width": int,
    "channels": int,
    "clean": str,
    "marked": str,
    "truth": str,
    "wanted": str,
}
DEFENSE_CARD = {
    "stages?": [str],
    "summary?": Maybe(str),
    "guarantee?": Maybe(str),
    "requires?": Maybe(str),
    "reference?": Maybe(str),
}
ATTACK_CARD = {"summary?": Maybe(str), "knowledge?": [str], "reference?": Maybe(str)}

SUMMARY: dict[str, Any] = {
    "schema": SCHEMA,
    "suite": {
        "name": str,
        "description": Maybe(str),
        "hash": str,
        "standard?": Maybe({"name": str, "hash": str}),
        "command": str,
        "rows?": {"*": str},
        "seeds": [int],
    },
    "provenance": dict,
    "time": {"created": str, "elapsed_s": float, "workers": int},
    "trials": {"total": int, "ok": int, "diverged": int, "failed": int, "invalid": int, "not_applicable?": int},
    "components": {"defenses": {"*": DEFENSE_CARD}, "attacks": {"*": ATTACK_CARD}},
    "histograms": {"*": {"classes": [str], "seed": int, "counts": [[int]], "malicious": [int]}},
    "scores": {
        "schema": SCHEMA,
        "settings": {"threshold?": float},
        "worlds": [WORLD],
        "ranking": [RANK],
        "flags": [FLAG],
    },
    "side_effects?": [SIDE_EFFECTS],
    "targeted?": [TARGETED],
    "faults?": [FAULTS],
    "triggers?": [TRIGGER],
    "claims?": [CLAIM],
}
"""What the reports read of ``summary.json``."""

_FORMS: dict[str, Any] = {
    "number": float,
    "list": [NUMBER],
    "by name": {"*": NUMBER},
    "text": str,
    "texts": [str],
    "flag": bool,
}
"""The form of a measure -> the shape of its values."""

MORE = {f"{name}?": Maybe(_FORMS[measure.form]) for name, measure in known_measures().items()}
"""The shape of what records hold beside accuracy and loss: every declared measure may be there."""

LEDGER = {"entries": int, "head": str}

RECORD: dict[str, Any] = {
    "schema": SCHEMA,
    "trial": str,
    "status": str,
    "labels": {"world": str, "defense": str, "attack": str},
    "seed": int,
    "f": int,
    "metrics?": Maybe({"accuracy?": CURVE, "malicious_weight?": NUMBER, "rejected_rows?": Maybe(float), "more?": MORE}),
    "bytes?": Maybe({"up_per_client_round?": NUMBER, "down_per_client_round?": NUMBER}),
    "time?": Maybe({"total_s?": NUMBER, "aggregate_s?": NUMBER}),
    "error?": Maybe({"type?": Maybe(str), "message?": Maybe(str), "traceback?": Maybe(str)}),
    "ledger?": Maybe(LEDGER),
}
"""What the reports read of a line of ``records.jsonl``."""

_WORDS = {str: "a text", int: "an integer", float: "a finite number", bool: "true or false", dict: "an object"}


def require_shape(value: Any, shape: Any, path: str) -> None:
    """Raises :class:`StoreError` with the path of the first value that does not fit the shape."""
    if isinstance(shape, Maybe):
        if value is not None:
            require_shape(value, shape.shape, path)
    elif isinstance(shape, dict):
        _require(isinstance(value, dict), path, "an object", value)
        for key, inner in _expected(value, shape, path):
            require_shape(value[key], inner, f"{path}.{key}" if key.isidentifier() else f"{path}[{key!r}]")
    elif isinstance(shape, list | tuple):
        _require(isinstance(value, list), path, "a list", value)
        _require(isinstance(shape, list) or len(value) == len(shape), path, f"a list of {len(shape)}", value)
        inners = shape if isinstance(shape, tuple) else shape * len(value)
        for index, (item, inner) in enumerate(zip(value, inners, strict=True)):
            require_shape(item, inner, f"{path}[{index}]")
    elif isinstance(shape, type):
        _require(_is(value, shape), path, _WORDS[shape], value)
    else:
        _require(type(value) is type(shape) and value == shape, path, repr(shape), value)


def _expected(value: dict[str, Any], shape: dict[str, Any], path: str) -> list[tuple[str, Any]]:
    """The keys of `value` that the shape speaks of, each with its shape."""
    if "*" in shape:
        return [(key, shape["*"]) for key in value]
    for key in shape:
        if not key.endswith("?") and key not in value:
            raise StoreError(f"`{path}.{key}` is missing. {_REMEDY}")
    return [(key.rstrip("?"), inner) for key, inner in shape.items() if key.rstrip("?") in value]


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


_REMEDY = "Repeat the run or its scoring with this version of robustfl."


def _require(holds: bool, path: str, expected: str, value: Any) -> None:
    if not holds:
        found = repr(value)
        raise StoreError(
            f"`{path}` should be {expected}. Found {found if len(found) < 80 else found[:80] + '…'}. {_REMEDY}"
        )
