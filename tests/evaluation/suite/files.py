"""A small suite as a text, and what the reader says of files that it refuses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from robustfl.errors import ScenarioError
from robustfl.evaluation.suite.reading import read_experiment

SUITE = """\
name: tiny
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 5, rounds: 2, algorithm: fedavg}
adversary: {f: [0, 1]}
defenses: [mean]
attacks: [sign_flip]
"""

Write = Callable[..., str]
"""What the fixture `write` is: the content of a scenario file -> its path."""


def refusal(path: str, *overrides: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        read_experiment(path, overrides)
    return str(caught.value)
