"""Strategies of several identities: when they are there, under which name, and how they join an attack."""

from __future__ import annotations

from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robustfl import registry
from robustfl.attacks import IPM, Clones, Dropout, LabelFlip, SignFlip, TakingTurns, Whitewash
from robustfl.errors import ParameterError
from robustfl.evaluation.specs import canonical
from robustfl.evaluation.suite.plan import Plan
from robustfl.evaluation.suite.scenario import Experiment, Suite
from robustfl.evaluation.suite.schema import suite_schema
from robustfl.threats import Identities, Knowledge, SybilAttack
from robustfl.threats.identities import divided
from robustfl.threats.updates.directions import REMEMBERED, PairedDirections

ALL: tuple[Identities, ...] = (
    Clones(),
    Clones(count=3, join_round=4, leave_round=9),
    Clones(shared="data", outside=True, disguise=2.0),
    Whitewash(lifetime=3),
    TakingTurns(names=4),
)


@pytest.mark.parametrize(
    ("identities", "aliases"),
    [
        (Clones(), [0, 0, 0, 0, 0, 0]),
        (Clones(join_round=2), [None, None, 0, 0, 0, 0]),
        (Clones(join_round=1, leave_round=4), [None, 0, 0, 0, None, None]),
        (Whitewash(), [0, 1, 2, 3, 4, 5]),
        (Whitewash(lifetime=4), [0, 0, 0, 0, 1, 1]),
        (TakingTurns(), [0, 1, 0, 1, 0, 1]),
        (TakingTurns(names=4), [0, 1, 2, 3, 0, 1]),
    ],
    ids=repr,
)
def test_names_over_the_rounds(identities: Identities, aliases: list[int | None]) -> None:
    for identity in range(identities.count):
        assert [identities.alias(number, identity) for number in range(6)] == aliases


@pytest.mark.parametrize("leave", [0, 3])
def test_clones_that_leave_before_they_come_are_refused(leave: int) -> None:
    with pytest.raises(ParameterError, match=f"leave_round > join_round.* Found join_round=3, leave_round={leave}"):
        Clones(join_round=3, leave_round=leave)


@pytest.mark.parametrize("given_", [{"count": 0}, {"disguise": -1.0}, {"shared": "nothing"}])
def test_parameters_out_of_range_are_refused(given_: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(given_))):
        Clones(**given_)


def test_added_rows() -> None:
    assert [Clones(count=5).added(f) for f in (0, 1, 3)] == [0, 4, 12]
    assert [Clones(count=5, outside=True).added(f) for f in (0, 1, 3)] == [0, 5, 15]
    assert Clones(count=1).added(4) == 0


@pytest.mark.parametrize("identities", ALL, ids=repr)
def test_identities_before_an_attack_come_back_from_text_and_json(identities: Identities) -> None:
    attack = identities >> LabelFlip(mode="targeted", source=1, target=7)
    assert registry.build("attack", repr(attack)) == attack
    suite = Suite.model_validate(
        {
            "name": "s",
            "task": {"data": "digits", "model": "softmax", "partition": "iid"},
            "federation": {},
            "adversary": {"f": [1]},
            "defenses": ["mean"],
            "attacks": [[{part.name: part.parameters()} for part in (identities, attack.then)]],
        }
    )
    assert suite.attacks == (attack,)
    assert Suite.model_validate(suite.model_dump(mode="json")).attacks == (attack,)
    assert canonical(attack)[0]["name"] == identities.name


def test_the_pair_is_the_attack_by_other_names() -> None:
    attack = Clones(count=2) >> IPM(epsilon=0.5)
    assert str(attack) == "Clones(count=2) > IPM(epsilon=0.5)"
    assert (attack.surface, attack.required_knowledge()) == ("updates", Knowledge.PEERS)
    assert divided(attack) == (Clones(count=2), IPM(epsilon=0.5))
    assert divided(SignFlip()) == (None, SignFlip())
    assert divided(None) == (None, None)


def test_channels() -> None:
    assert (Clones() >> LabelFlip()).fits("dense")
    assert (Clones() >> LabelFlip()).fits("rankings")
    assert not (Clones(disguise=1.0) >> LabelFlip()).fits("rankings")
    assert not (Clones() >> LabelFlip()).fits("rewards")
    assert not (Clones() >> IPM()).fits("rankings")


@pytest.mark.parametrize("behind", [Dropout(), Clones(), "label_flip", None])
def test_identities_stand_before_attacks_only(behind: Any) -> None:
    with pytest.raises(ParameterError, match="should stand before an attack on the training"):
        Clones() >> behind
    with pytest.raises(ParameterError, match="`then` should be"):
        SybilAttack(first=Clones(), then=behind)


def values(**changes: Any) -> dict[str, Any]:
    return {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": "iid"},
        "federation": {"clients": 10, "rounds": 2},
        "adversary": {"f": [2]},
        "defenses": ["trimmed_mean"],
        "attacks": ["sign_flip", [{"clones": {"count": 3}}, "sign_flip"]],
        "seeds": 1,
        **changes,
    }


def test_identities_without_an_attack_are_no_attack() -> None:
    with pytest.raises(ValueError, match="list it with an attack"):
        Suite.model_validate(values(attacks=["clones"]))


def told(**changes: Any) -> dict[str, Any]:
    """What the defense is told in each cell of a plan, or why it cannot be used."""
    cells = Plan(Experiment(values(**changes))).cells
    return {cell.attack: cell.invalid or (cell.trial and cell.trial.scenario.defense.f) for cell in cells}


def test_the_f_that_defenses_are_told_counts_identities() -> None:
    assert told() == {"none": 2, "SignFlip": 2, "Clones(count=3) > SignFlip": 6}  # 6 of 14 rows
    outside = [[{"clones": {"count": 3, "outside": True}}, "sign_flip"]]
    assert told(attacks=outside)["Clones(count=3, outside=True) > SignFlip"] == 6  # 6 of 16 rows
    assert told(adversary={"f": [2], "declared": 1})["Clones(count=3) > SignFlip"] == 1


def test_the_precondition_is_that_of_the_grown_federation() -> None:
    many = [[{"clones": {"count": 9}}, "sign_flip"]]
    assert "Found n=26, f=18" in told(attacks=many)["Clones(count=9) > SignFlip"]


def test_partial_participation_samples_identities_too() -> None:
    federation = {"clients": 10, "rounds": 2, "participation": 0.5}
    assert told(federation=federation)["Clones(count=3) > SignFlip"] == 3  # of 7 rows


def test_the_schema_knows_lists_of_identities_and_an_attack() -> None:
    schema = suite_schema()
    jsonschema.validate(values(), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values(attacks=[[{"clones": {"cuont": 3}}, "sign_flip"]]), schema)


# -- directions


def drawing(d: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)

    def normal(rows: int) -> Tensor:
        return torch.as_tensor(rng.standard_normal((rows, d)))

    return normal


@settings(max_examples=40, deadline=None)
@given(rounds=st.lists(st.sets(st.integers(0, 9), min_size=1, max_size=8), min_size=1, max_size=6))
def test_everybody_keeps_a_unit_direction_whoever_else_is_there(rounds: list[set[int]]) -> None:
    known, normal = PairedDirections(), drawing(12)
    seen: dict[int, Tensor] = {}
    for present in rounds:
        rows = known.rows(sorted(present), normal)
        assert torch.allclose(rows.norm(dim=1), torch.ones(len(present), dtype=rows.dtype))
        for identity, row in zip(sorted(present), rows, strict=True):
            assert torch.equal(seen.setdefault(identity, row), row)
    gram = torch.stack(list(seen.values())) @ torch.stack(list(seen.values())).T
    partners = (gram < -0.5).sum(dim=1)
    assert int(partners.max()) <= 1
    rest = gram[(gram > -0.5) & ~torch.eye(len(seen), dtype=torch.bool)]
    assert float(rest.abs().max() if len(rest) else 0.0) < 1e-9


@settings(max_examples=20, deadline=None)
@given(half=st.integers(1, 6), seed=st.integers(0, 50))
def test_an_even_number_cancels(half: int, seed: int) -> None:
    rows = PairedDirections().rows(range(2 * half), drawing(8, seed))
    assert torch.allclose(rows.sum(dim=0), torch.zeros(8, dtype=rows.dtype), atol=1e-12)


def test_new_names_for_ever_take_bounded_memory_and_keep_those_who_stay() -> None:
    known, normal = PairedDirections(), drawing(40)
    stays = known.rows(["old", "partner"], normal)
    for number in range(300):
        rows = known.rows(["old", (number, 0), (number, 1)], normal)
        assert torch.equal(rows[0], stays[0])
        assert torch.allclose(rows[1], -rows[2], atol=1e-12) or abs(float(rows[1] @ rows[2])) < 1e-9
        assert known._vectors is not None
        assert len(known._vectors) <= min(40, REMEMBERED)


def test_more_pairs_than_dimensions_are_refused() -> None:
    assert PairedDirections().rows(range(6), drawing(3)).shape == (6, 3)
    with pytest.raises(ParameterError, match=r"f/2 <= d\. Found f=7, d=3"):
        PairedDirections().rows(range(7), drawing(3))
