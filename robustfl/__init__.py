"""Robust aggregation and security evaluation for federated, distributed and decentralised learning.

>>> from robustfl.defenses import NNM, TrimmedMean
>>> defense = NNM(f=1) >> TrimmedMean(f=1)
>>> defense([[1.0, 2.0], [1.2, 1.8], [0.9, 2.1], [1e9, -1e9]]).round(3).tolist()
[1.033, 1.967]

``robustfl.defenses`` and ``robustfl.attacks`` hold what can be imported on its own; ``robustfl run quickstart`` pits
them against each other and scores the result.
"""

from pathlib import Path as _Path

from robustfl.moved import forward as _forward

__version__ = "0.1.0"

_here = _Path(__file__).resolve().parent
if not (_here / "attacks").is_dir():  # a checkout keeps attacks/, defenses/, ... beside robustfl/, a wheel inside it
    __path__.append(str(_here.parent))

_forward()
