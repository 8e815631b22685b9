"""The smallest suite of which something can be said: two defenses, one attack, two rounds."""

from __future__ import annotations

from typing import Any

SUITE: dict[str, Any] = {
    "name": "tiny",
    "task": {"data": "digits", "model": "softmax", "partition": "iid"},
    "federation": {"clients": 5, "rounds": 2},
    "adversary": {"f": [0, 1]},
    "defenses": ["mean", "median"],
    "attacks": ["sign_flip"],
    "seeds": 2,
}
