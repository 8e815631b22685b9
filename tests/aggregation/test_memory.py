"""The state of defenses goes through the files in which torch keeps models, and programs that compile."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.defenses import NNM, Bucketing, CenteredClipping, ClientMomentum, Mean, Median

RULES: list[Any] = [
    CenteredClipping(radius=1.0),
    ClientMomentum(beta=0.5) >> Median(),
    ClientMomentum(beta=0.5) >> Bucketing(size=2) >> CenteredClipping(radius=1.0),
    Bucketing(size=2) >> NNM(f=0) >> Mean(),
]


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save({"model": torch.nn.Linear(2, 2).state_dict(), "defense": state}, file)
    file.seek(0)
    return torch.load(file, weights_only=True)["defense"]


def fresh(rule: Any) -> Any:
    import copy

    other = copy.deepcopy(rule)
    other.reset()
    return other


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_state_is_read_as_weights_alone(rule: Any, dtype: torch.dtype) -> None:
    rows = torch.as_tensor(np.random.default_rng(0).normal(size=(3, 4, 6))).to(dtype)
    rule, heir = fresh(rule), fresh(rule)
    rule(rows[0], ids=np.arange(4))
    rule(rows[1][:3], ids=torch.arange(3))
    heir.load_state_dict(through_a_file(rule.state_dict()))
    heir.load_state_dict(through_a_file(heir.state_dict()))  # before it was ever asked
    assert torch.equal(heir(rows[2]), rule(rows[2]))


def test_the_state_has_the_form_of_the_updates() -> None:
    rows = np.random.default_rng(0).normal(size=(3, 4, 6))
    inputs: list[tuple[Any, type]] = [
        (rows[0], np.ndarray),
        (torch.as_tensor(rows[0]), torch.Tensor),
        ([{"w": torch.as_tensor(row)} for row in rows[0]], torch.Tensor),
        ([[row] for row in rows[0]], np.ndarray),
    ]
    answers = []
    for updates, kind in inputs:
        rule = CenteredClipping(radius=1.0)
        rule(updates)
        assert {type(value) for value in rule.state_dict().values()} == {kind}
        heir = CenteredClipping(radius=1.0)
        heir.load_state_dict(rule.state_dict())
        answers.append(heir(rows[1]))
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


@pytest.fixture
def default_device() -> Iterator[None]:
    torch.set_default_device("cpu")
    yield
    torch.set_default_device(None)


@pytest.mark.slow
@pytest.mark.usefixtures("default_device")
def test_a_rule_inside_a_compiled_function_with_a_default_device() -> None:
    step = torch.compile(lambda gradients: Median()(gradients), backend="eager")
    assert step(torch.tensor([[1.0], [2.0], [3.0]])).tolist() == [2.0]
