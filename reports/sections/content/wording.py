"""The words and number formats that all reports share, so that each sentence is written only once.

Every function takes values as they are in the results, including null: an unknown value is said in words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from robustfl.wording import distinct as distinct
from robustfl.wording import listed as listed

MISSING = "–"


def number(value: float | None, digits: int = 2) -> str:
    """`0.834` -> `0.83`; null -> a dash; negative numbers have a typographic minus sign, and zero has no sign."""
    if value is None:
        return MISSING
    rounded = round(value, digits) + 0.0
    return f"{rounded:.{digits}f}".replace("-", "−")


def named(attack: str | None) -> str:
    """The label of an attack; `none` becomes `no attack`, and null becomes a dash."""
    return MISSING if attack is None else "no attack" if attack == "none" else attack


def interval(pair: Sequence[float] | None) -> str:
    """`[.78, .88]` -> `0.78 to 0.88`; null -> a dash."""
    return MISSING if pair is None else f"{number(pair[0])} to {number(pair[1])}"


def pieces(label: str) -> list[str]:
    """The pieces of a label between which a line may break: before a bracket, inside camel case, after `_` and `=`."""
    return re.split(r"(?<=[a-z])(?=[A-Z])|(?=\()|(?<=[_=])(?=\w)", label)


def seconds(value: float | None) -> str:
    """A duration in the unit that fits it: `8.5 ms`, `312 ms`, `4.20 s`, `1 min 33 s`, `2 h 05 min`."""
    if value is None:
        return MISSING
    if value < 1:
        return f"{1000 * value:.{0 if value >= 0.01 else 1}f} ms"
    if value < 60:
        return f"{value:.2f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(value: float | None) -> str:
    """Bytes in decimal units: `7240` -> `7.24 kB`."""
    if value is None:
        return MISSING
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000:
            return f"{value:.3g} {unit}"
        value /= 1000
    return f"{value:.0f} TB"


def breakdown(found: Mapping[str, Any] | None, clients: int) -> str:
    """How many malicious clients a defense survives: `3 of 15`, `7 or more of 15`, `fails without any`.

    Where the fewest that were tested are more than none, it `fails with 1`.
    """
    if found is None:
        return "not determined"
    if fails(found):
        fewest = min(found.get("grid") or [0])
        return f"fails with {fewest}" if fewest > 0 else "fails without any"
    return f"{found['f']} or more of {clients}" if found["verdict"] == "at_least" else f"{found['f']} of {clients}"


def well_formed(text: str) -> str:
    """The text without characters that UTF-8 cannot hold (lone surrogates become question marks)."""
    return text.encode("utf-8", "replace").decode("utf-8")


def fails(found: Mapping[str, Any]) -> bool:
    """Whether a defense fails even without malicious clients."""
    return bool(found["verdict"] == "none" or found["f"] < 0)


def percent(share: float | None) -> str:
    """`0.934` -> `93 %`; a share between 0 and 1 is never rounded to 0 % or 100 %."""
    if share is None:
        return MISSING
    if 0 < share < 0.005:
        return "< 1 %"
    return f"{min(round(100 * share), 99) if share < 1 else 100} %"


def short_names(labels: Iterable[str]) -> dict[str, str]:
    """Labels without what is in brackets; those that would be equal are numbered, in alphabetical order.

    >>> short_names(["ALIE(z=1.5)", "IPM(epsilon=0.1)", "IPM(epsilon=10)"])
    {'ALIE(z=1.5)': 'ALIE', 'IPM(epsilon=0.1)': 'IPM 1', 'IPM(epsilon=10)': 'IPM 2'}
    """
    groups: dict[str, list[str]] = {}
    for label in sorted(labels):
        groups.setdefault(_without_brackets(label) or label, []).append(label)
    taken = set(groups)
    found: dict[str, str] = {}
    for short, group in groups.items():
        numbered = [f"{short} {number}" for number in range(1, len(group) + 1)]
        alone = len(group) == 1
        # An attack that is itself called `X 1` keeps the labels of its namesakes whole.
        names = [short] if alone else group if taken & set(numbered) else numbered
        found.update(zip(group, names, strict=True))
    return found


def _without_brackets(label: str) -> str:
    """The label without brackets and what is in them; unchanged where brackets are not in pairs."""
    shorter, count = label, 1
    while count:
        shorter, count = re.subn(r"\([^()]*\)", "", shorter)
    return label if set("()") & set(shorter) else " ".join(shorter.split())


def telling_digits(names: Iterable[str], least: int = 8) -> int:
    """How many of the first letters tell all names apart, but not fewer than `least`."""
    known = sorted(set(names))
    return max([least, *(_shared(a, b) + 1 for a, b in pairwise(known))])


def _shared(a: str, b: str) -> int:
    """How many letters two texts begin with in common."""
    return next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
