"""Attacks take updates in the forms that defenses take, and send nothing that overflows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import robustfl.attacks
from robustfl.attacks import ALIE, IPM, NonFinite, SignFlip
from robustfl.defenses import Mean
from robustfl.errors import AttackError
from robustfl.threats.updates.contract import UpdateAttack

MATRIX = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)

FORMS: dict[str, Any] = {
    "states": [
        {"a.w": torch.as_tensor(row[:3]), "steps": torch.tensor(7), "b": torch.as_tensor(row[3:])} for row in MATRIX
    ],
    "lists": [[row[:1], row[1:].reshape(3, 1)] for row in MATRIX],
    "rows": list(MATRIX),
    "mapping": {number: [row] for number, row in enumerate(MATRIX)},
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("attack", [ALIE(), SignFlip()], ids=str)
def test_the_answer_is_that_to_the_matrix_in_the_form_of_the_updates(attack: Any, form: str) -> None:
    honest = FORMS[form]
    own = honest[:2] if isinstance(honest, list) else list(honest.values())[:2]
    crafted = attack(honest, f=2, own=own)
    expected = attack(MATRIX, f=2, own=MATRIX[:2])
    assert len(crafted) == 2
    for update, row in zip(crafted, expected, strict=True):
        parts = update.values() if isinstance(update, dict) else update if isinstance(update, list) else [update]
        flat = [np.asarray(part).ravel() for part in parts if np.asarray(part).dtype.kind == "f"]
        np.testing.assert_array_equal(np.concatenate(flat), row)
        if form == "states":
            assert (update["steps"], update["a.w"].dtype) == (7, torch.float32)
    everybody = [*(honest if isinstance(honest, list) else honest.values()), *crafted]
    assert not Mean().aggregate(everybody).rejected.any()


@pytest.mark.parametrize(
    ("honest", "clue"),
    [
        ([None] * 3, "missing"),
        ([{"w": "x"}] * 3, "`w` is str"),
        ([{"w": np.ones(2)}, {"w": np.ones(2)}, {"v": np.ones(2)}], "it lacks `w`"),
        ([{"w": np.array([np.nan])}] * 3, "finite"),
        (np.array([["a"]]), "floating-point"),
        ([[1.0], [1.0, 2.0]], "floating-point"),
        ([[1], [2]], "floating-point"),
    ],
    ids=["missing", "text", "key", "nan", "texts", "ragged", "integers"],
)
def test_what_cannot_be_read_is_an_error_of_the_attack(honest: Any, clue: str) -> None:
    with pytest.raises(AttackError, match=clue):
        ALIE()(honest, f=1)
    with pytest.raises(AttackError, match="look like `honest`"):
        SignFlip()([{"w": np.ones(2)}] * 3, f=1, own=[{"v": np.ones(2)}])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_nothing_that_is_sent_is_too_large_to_sum(dtype: torch.dtype) -> None:
    honest = torch.full(
        (4, 3), 0.2 * min(torch.finfo(dtype).max, 1e37 if dtype != torch.float64 else 1e152), dtype=dtype
    )
    crafted = IPM(epsilon=1e4)(honest, f=2)
    assert torch.isfinite(crafted).all()
    assert not Mean().aggregate(torch.cat([honest, crafted])).rejected.any()
    assert Mean().aggregate(torch.cat([honest, NonFinite(payload="inf")(honest, f=1)])).rejected[-1]


NEED_A_FEDERATION = {"HiddenShift", "MPAF", "OmniscientLabelFlip", "PredictionSearch", "ReversedBeliefs", "WrongClass"}
PLAIN = sorted(
    name
    for name, kind in vars(robustfl.attacks).items()
    if isinstance(kind, type) and issubclass(kind, UpdateAttack) and not kind.overflows
)


@pytest.mark.parametrize("spoiled", ["one", "all"])
@pytest.mark.parametrize("name", PLAIN)
def test_honest_rows_that_no_defense_can_sum_spoil_nothing_that_is_sent(name: str, spoiled: str) -> None:
    """In float64, squares overflow long before the numbers do."""
    honest = np.random.default_rng(0).normal(size=(7, 12))
    honest[2 if spoiled == "one" else slice(None)] *= 1e300
    attack, given = getattr(robustfl.attacks, name)(), {"own": honest[:2], "history": [np.zeros(12)] * 2}
    if name in NEED_A_FEDERATION:
        with pytest.raises(AttackError, match="needs"):
            attack(np.ones((7, 12)), f=2, aggregate=Mean(), **given)
        return
    crafted = attack(honest, f=2, aggregate=Mean(), **given)
    assert np.isfinite(crafted).all()
    assert np.isfinite(Mean()(np.vstack([np.ones((5, 12)), crafted]))).all()
