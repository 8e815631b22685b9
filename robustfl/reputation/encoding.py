"""One text form for everything that is hashed: canonical JSON without floats, and texts for clients and numbers."""

from __future__ import annotations

import hashlib
import json
import math
import numbers
from collections.abc import Hashable
from typing import Any

from robustfl.errors import ParameterError

GENESIS = "00" * 32
"""The hash before the first entry: 32 zero bytes."""

LONGEST_TEXT = 256
"""Longest name of a client that is kept as it is; of a longer name, a part and the hash of the whole are kept."""


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no blanks and only ASCII characters, so that equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode("ascii")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


def chained(previous: str, entry: dict[str, Any]) -> str:
    """`SHA256(previous || canonical_json(entry))`: the hash of an entry that follows the one with hash `previous`."""
    return hashlib.sha256(bytes.fromhex(previous) + canonical(entry)).hexdigest()


def named(client: Hashable) -> tuple[str, str]:
    """A client's id as text, and its type, so that the text `7` and the number 7 remain two different clients.

    Names come from the network. The JSON around them escapes control characters, quotes and unpaired surrogates, and a
    name of any length takes a bounded amount of space.
    """
    if isinstance(client, str):
        text, kind = str(client), "str"
    elif isinstance(client, bytes):
        text, kind = client.hex(), "bytes"
    elif isinstance(client, numbers.Integral) and not isinstance(client, bool):
        text, kind = hexadecimal_or_decimal(int(client)), "int"
    else:
        text, kind = repr(client), type(client).__qualname__[:LONGEST_TEXT]
    if len(text) > LONGEST_TEXT:
        return shortened(text), f"{kind}, shortened"
    return text, kind


def shortened(text: str) -> str:
    """The beginning of a text and the hash of the whole text."""
    return f"{text[: LONGEST_TEXT // 2]}... sha256:{digest(text)}"


def hexadecimal_or_decimal(number: int) -> str:
    """A whole number as text: in decimal digits, or in hexadecimal ones if it is too long for Python's decimals."""
    return str(number) if number.bit_length() < 1024 else hex(number)


def decimal(value: Any, name: str) -> str:
    """A finite number as the shortest decimal text that reads back as the same number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ParameterError(f"`{name}` should be a number. Found {value!r}.")
    if isinstance(value, numbers.Integral):
        return hexadecimal_or_decimal(int(value))
    if not math.isfinite(value):
        raise ParameterError(f"`{name}` should be finite. Found {value}.")
    return repr(float(value))
