"""The contract of attacks on updates, broken in every way that the machine should notice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from robustfl.components import Component
from robustfl.errors import AttackError, KnowledgeError, ParameterError
from robustfl.threats import (
    Adversary,
    Attack,
    DataPoisoning,
    Facts,
    Fault,
    Knowledge,
    TiledAttack,
    UpdateAttack,
    View,
)

EVERYTHING = Knowledge.OWN | Knowledge.HISTORY | Knowledge.PEERS | Knowledge.DEFENSE


@dataclass(frozen=True, kw_only=True)
class Does(UpdateAttack):
    """Whatever the test wants, knowing everything."""

    knowledge: ClassVar[Knowledge] = EVERYTHING

    what: Callable  # type: ignore[type-arg]

    def craft(self, view: View) -> Tensor:
        result: Tensor = self.what(view)
        return result


@dataclass(frozen=True, kw_only=True)
class Modest(Does):
    """Declares only its own updates."""

    knowledge: ClassVar[Knowledge] = Knowledge.OWN


def facts(f: int = 2, h: int = 4, number: int = 0) -> Facts:
    honest, own = torch.arange(3.0 * h).reshape(h, 3), torch.ones(f, 3)
    return Facts(
        round=number,
        f=f,
        declared_f=f,
        honest=honest,
        honest_ids=tuple(range(h)),
        own=lambda: own,
        weights=torch.zeros(3),
        previous_weights=torch.zeros(3),
        aggregate=lambda rows: rows.mean(dim=0),
    )


def craft(what: Callable[[View], Any], **changes: int) -> Tensor:
    return Adversary(Does(what=what)).craft(facts(**changes))


WRITES: dict[str, tuple[str, Callable[[View], Any]]] = {
    "honest in place": ("the honest updates", lambda view: view.honest.mul_(0.0)),
    "one honest entry": ("the honest updates", lambda view: view.honest[2].__setitem__(1, 7.0)),
    "a view of honest": ("the honest updates", lambda view: view.honest.T[0].zero_()),
    "honest through numpy": ("the honest updates", lambda view: view.honest.numpy().fill(0.0)),
    "own": ("own updates", lambda view: view.own.neg_()),
    "own through numpy": ("own updates", lambda view: view.own.numpy().fill(0.0)),
    "weights": ("the global model", lambda view: view.weights.add_(1.0)),
    "previous weights": ("previous global model", lambda view: view.previous_weights.add_(1.0)),  # type: ignore[union-attr]
}


@pytest.mark.parametrize("name", WRITES)
def test_writing_to_what_is_lent_is_noticed(name: str) -> None:
    found, write = WRITES[name]

    def what(view: View) -> Tensor:
        write(view)
        return view.full(0.0).repeat(view.f, 1)

    with pytest.raises(AttackError, match=f"changed .*{found}, which it may only read. Work on a copy"):
        craft(what)


def test_numpy_writes_to_one_row_of_a_wide_matrix_are_noticed() -> None:
    wide = facts()
    wide.honest = torch.zeros(4, 100_000)

    def what(view: View) -> Tensor:
        view.honest.numpy()[3] += 1.0
        return view.full(0.0).repeat(view.f, 1)

    with pytest.raises(AttackError, match="the honest updates"):
        Adversary(Does(what=what)).craft(wide)


def zeros(view: View) -> Tensor:
    return view.full(0.0).repeat(view.f, 1)


BREACHES: dict[str, tuple[str, Callable[[View], Any]]] = {
    "one row too many": (r"shape \(2, 3\)\. Found \(3, 3\)", lambda view: torch.zeros(3, 3)),
    "a vector": (r"shape \(2, 3\)\. Found \(3,\)", lambda view: view.full(0.0)),
    "a column too few": (r"shape \(2, 3\)\. Found \(2, 2\)", lambda view: torch.zeros(2, 2)),
    "double precision": ("float32 on cpu. Found torch.float64", lambda view: zeros(view).double()),
    "integers": ("float32 on cpu. Found torch.int64", lambda view: zeros(view).long()),
    "another device": ("Found torch.float32 on meta", lambda view: zeros(view).to("meta")),
    "numpy": ("torch tensor .* Found ndarray", lambda view: zeros(view).numpy()),
    "a list": ("torch tensor .* Found list", lambda view: zeros(view).tolist()),
    "nothing": ("torch tensor .* Found NoneType", lambda view: None),
    "expanded": ("share memory", lambda view: view.full(1.0).expand(view.f, -1)),
    "honest rows": ("share memory", lambda view: view.honest[:2]),
    "its own rows": ("share memory", lambda view: view.own),
}


@pytest.mark.parametrize("name", BREACHES)
def test_what_is_not_a_matrix_of_updates_is_refused(name: str) -> None:
    found, what = BREACHES[name]
    with pytest.raises(AttackError, match=found):
        craft(what)


@pytest.mark.parametrize(("found", "what"), [("ndarray", np.ones(3)), ("NoneType", None), ("list", [1.0, 1.0, 1.0])])
def test_a_vector_that_is_no_tensor_is_refused(found: str, what: Any) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Vector(TiledAttack):
        """Finds no tensor."""

        def vector(self, view: View) -> Any:
            return what

    with pytest.raises(AttackError, match=rf"Vector\(.* should find a torch tensor \[d\]\. Found {found}\."):
        Adversary(Vector()).craft(facts())


def test_a_knowledge_that_is_none_is_refused_where_the_class_is_written() -> None:
    with pytest.raises(ParameterError, match=r"Texted: `knowledge` should be a .*Knowledge\.PEERS\. Found 'peers'"):

        class Texted(UpdateAttack):
            """Declares a text."""

            knowledge = "peers"  # type: ignore[assignment]


def test_copies_of_what_is_lent_are_fine() -> None:
    assert craft(lambda view: view.honest[:2].clone()).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert craft(lambda view: view.own.clone()).tolist() == [[1, 1, 1], [1, 1, 1]]


def test_reaching_for_undeclared_facts_is_refused() -> None:
    for what in (lambda view: view.honest[:2].clone(), lambda view: view.weights.repeat(2, 1)):
        with pytest.raises(KnowledgeError, match=r"Modest\(.* It declares: own"):
            Adversary(Modest(what=what)).craft(facts())
    assert Adversary(Modest(what=lambda view: -view.own)).craft(facts()).tolist() == [[-1, -1, -1]] * 2


def test_nobody_malicious_asks_the_attack_nothing() -> None:
    def explode(view: View) -> Tensor:
        raise AssertionError("asked")

    assert craft(explode, f=0).shape == (0, 3)


def test_nobody_honest_is_an_error_only_when_the_attack_acts() -> None:
    with pytest.raises(AttackError, match="at least one honest update"):
        craft(zeros, h=0)
    assert Adversary(Does(what=zeros, start_round=1)).craft(facts(h=0)).tolist() == [[1, 1, 1]] * 2


def test_memory_lasts_for_the_adversary_and_not_for_the_attack() -> None:
    def count(view: View) -> Tensor:
        view.memory["calls"] = view.memory.get("calls", 0) + 1
        return view.full(float(view.memory["calls"])).repeat(view.f, 1)

    attack = Does(what=count)
    adversary = Adversary(attack)
    assert [adversary.craft(facts(number=t))[0, 0].item() for t in range(3)] == [1, 2, 3]
    assert Adversary(attack).craft(facts())[0, 0].item() == 1


@pytest.mark.parametrize(
    ("window", "rounds"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6, 7]),
        ({"start_round": 3}, [3, 4, 5, 6, 7]),
        ({"stop_round": 2}, [0, 1]),
        ({"start_round": 1, "every": 3}, [1, 4, 7]),
        ({"start_round": 2, "stop_round": 6, "every": 2}, [2, 4]),
    ],
)
def test_windows(window: dict[str, int], rounds: list[int]) -> None:
    attack = Does(what=zeros, **window)
    assert [number for number in range(8) if attack.active(number)] == rounds


@pytest.mark.parametrize("stop", [0, 4, 5])
def test_a_window_that_never_opens_is_refused(stop: int) -> None:
    with pytest.raises(ParameterError, match=f"stop_round > start_round.* Found start_round=5, stop_round={stop}"):
        Does(what=zeros, start_round=5, stop_round=stop)


def test_contracts_cannot_be_made() -> None:
    contracts: tuple[Any, ...] = (UpdateAttack, TiledAttack, DataPoisoning, Fault)
    for contract in contracts:
        with pytest.raises(TypeError, match="abstract"):
            contract()


HONEST = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("honest", "given", "found"),
    [
        (np.arange(6).reshape(2, 3), {}, r"floating-point updates \[h, d\], d >= 1. Found torch.int64"),
        (np.zeros(3), {}, r"Found torch.float64 \[3\]"),
        (np.zeros((2, 0)), {}, r"Found torch.float64 \[2, 0\]"),
        (np.zeros((0, 3)), {}, "at least one honest update"),
        (HONEST, {"own": np.zeros((2, 3))}, r"a row for each malicious client, \[1, 3\]. Found \[2, 3\]"),
        (HONEST, {"own": np.zeros(3)}, r"a row for each malicious client, \[1, 3\]. Found \[3\]"),
        (HONEST, {}, "needs `own`"),
    ],
)
def test_calls_outside_a_simulation_say_what_is_wrong(honest: Any, given: dict[str, Any], found: str) -> None:
    with pytest.raises(AttackError, match=found):
        Does(what=lambda view: -view.own)(honest, f=1, **given)


@pytest.mark.parametrize("f", [-1, 1.5, True, "2"])
def test_calls_with_an_impossible_number_of_attackers_are_refused(f: Any) -> None:
    with pytest.raises(ParameterError, match="`f` should"):
        Does(what=zeros)(HONEST, f=f)


def test_calls_pass_everything_on() -> None:
    seen: list[View] = []

    def what(view: View) -> Tensor:
        seen.append(view)
        return view.aggregate(torch.cat([view.own, view.honest])).repeat(view.f, 1)

    attack = Does(what=what, start_round=4)
    own = np.full((2, 3), 10.0)
    result = attack(HONEST, f=2, own=own, aggregate=lambda rows: rows.amax(dim=0), message="delta", rng=5)
    assert result.tolist() == [[10.0, 10.0, 10.0]] * 2
    assert (seen[0].message, seen[0].round, seen[0].n) == ("delta", 4, 4)
    assert seen[0].rng.random() == np.random.default_rng(5).random()


def test_calls_accept_lists_and_single_precision_for_own() -> None:
    attack = Does(what=lambda view: -view.own)
    assert attack([[1.0, 2.0]], f=1, own=[[3, 4]]).tolist() == [[-3.0, -4.0]]
    result = attack(HONEST.astype(np.float32), f=1, own=np.ones((1, 3)))
    assert result.dtype == np.float32


def test_an_attack_is_a_component_with_its_window_declared() -> None:
    assert issubclass(Attack, Component)
    names = [parameter.name for parameter in Does.declared_parameters()]
    assert names == ["start_round", "stop_round", "every", "what"]
