"""One peer in its own types: `mix_one` answers as the simulation of a network does, bit for bit."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixer, PerNeighbourhood
from robustfl.defenses import NNA, Alone, Balance, Bridge, CSPlus, Gossip, Krum, LocalFoolsGold, Median, SybilWall
from robustfl.errors import ParameterError, StateError, UpdatesError
from tests.aggregation.neighbourhoods.mixer_rules import MIXERS, OCCASION, Case
from tests.aggregation.neighbourhoods.networks import random_network


@pytest.mark.parametrize("case", MIXERS, ids=lambda case: case.name)
def test_one_peer_gets_what_it_gets_in_a_network_bit_for_bit(case: Case) -> None:
    network = random_network(0)
    mixed = case.rule.preview(network.letters, network.hoods, OCCASION)
    hoods = network.hoods
    for line in (0, 6, 9):
        slots = [slot for slot in range(1, hoods.m) if hoods.senders[line, slot] >= 0]
        names = hoods.senders[line, slots].tolist()
        rows = [network.letters.rows[row] if row >= 0 else None for row in hoods.index[line, slots]]
        weights = dict(zip(names, hoods.weights[line, slots], strict=True))
        letters = dict(zip(names, rows, strict=True))
        model, told = case.rule.mix_one(network.letters.rows[line], letters, b=1, weights=weights, occasion=OCCASION)
        np.testing.assert_array_equal(model, mixed.models[line])
        assert told.b == mixed.info["bounds"][line]
        assert told.rejected == {names[slot - 1]: why for slot, why in mixed.reasons.get(line, {}).items()}


def state_dict(seed: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "layer.weight": torch.randn(3, 4, generator=generator),
        "norm.running_mean": torch.randn(3, generator=generator),
        "norm.num_batches_tracked": torch.tensor(seed),
    }


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return bool(torch.equal(one.nan_to_num(), other.nan_to_num()))
    return bool(one == other)


def test_state_dicts_come_back_as_state_dicts_and_no_letter_is_changed() -> None:
    letters = {name: state_dict(seed) for seed, name in enumerate(["anna", "boris", "carl", "dora"], 1)}
    letters["boris"] = dict(reversed(letters["boris"].items()))
    letters["carl"]["layer.weight"][1, 1] = float("nan")
    letters["dora"]["norm.running_mean"][0] = float("inf")
    letters |= {"eve": {"layer.weight": torch.zeros(3, 4)}, "frank": "hello", "greta": None}
    before, own = copy.deepcopy(letters), state_dict(0)
    model, told = NNA().mix_one(own, letters, b=5)
    assert equal(letters, before)
    assert equal(own, state_dict(0))
    assert told.rejected == {
        "carl": "not finite",
        "dora": "not finite (`norm.running_mean`)",
        "eve": "wrong layout: it lacks `norm.running_mean`, `norm.num_batches_tracked`",
        "frank": "unreadable (str)",
        "greta": "missing",
    }
    assert told.b == 1  # five were declared, and four gave themselves away
    near = min(("anna", "boris"), key=lambda name: float((letters[name]["layer.weight"] - own["layer.weight"]).norm()))
    np.testing.assert_allclose(
        model["layer.weight"], (own["layer.weight"] + letters[near]["layer.weight"]) / 2, atol=1e-6
    )
    assert model["norm.num_batches_tracked"].dtype == torch.int64
    assert list(model) == list(own)
    assert told.weights == {"anna": 0.5 * (near == "anna"), "boris": 0.5 * (near == "boris")}
    assert told.own_weight == 0.5


@pytest.mark.parametrize(
    ("own", "kind"),
    [
        ([1.0, 2.0], np.ndarray),
        (np.array([1.0, 2.0], np.float16), np.ndarray),
        (torch.tensor([1.0, 2.0], dtype=torch.bfloat16), torch.Tensor),
        ([np.ones((2, 2)), np.zeros(3)], list),
    ],
    ids=["list", "half", "bfloat16", "arrays"],
)
def test_the_answer_has_the_type_of_the_own_model(own: Any, kind: type) -> None:
    model, told = Gossip().mix_one(own, {"a": own, "b": own})
    assert type(model) is kind
    assert getattr(model, "dtype", None) == getattr(own, "dtype", getattr(model, "dtype", None))
    assert told.rejected == {}
    for found, given in zip(model, own, strict=True):
        assert (found == given).all()


def test_a_majority_of_letters_does_not_decide_what_a_model_is() -> None:
    model, told = Alone().mix_one(np.ones(2), {name: np.ones(3) for name in "abc"})
    np.testing.assert_array_equal(model, np.ones(2))
    assert set(told.rejected) == {"a", "b", "c"}
    assert told.kept == "no usable letters"


ONE = [1.0, 1e-9]
FORMS: dict[str, Any] = {
    "float32": np.array(ONE, np.float32),
    "float64": np.array(ONE),
    "half": torch.tensor(ONE, dtype=torch.float16),
    "bfloat16": torch.tensor(ONE, dtype=torch.bfloat16),
    "tensor": torch.tensor(ONE),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("others", FORMS)
def test_a_majority_of_letters_does_not_decide_the_type_of_a_model(form: str, others: str) -> None:
    own = FORMS[form]
    model, told = Gossip().mix_one(own, dict.fromkeys("abc", FORMS[others]))
    assert (type(model), model.dtype) == (type(own), own.dtype)
    assert not told.rejected
    model, _ = Gossip().mix_one({"w": own}, {name: {"w": FORMS[others]} for name in "abc"})
    assert (type(model["w"]), model["w"].dtype) == (type(own), own.dtype)
    if form == "float64":
        exact, rest = (float(values[1]) for values in (own, FORMS[others]))
        assert float(model["w"][1]) == pytest.approx(0.25 * exact + 0.75 * rest, rel=1e-15, abs=0)


def test_counters_keep_the_type_of_the_own_model() -> None:
    own = {"w": np.zeros(2), "steps": np.array(3)}
    letters = {name: {"w": torch.ones(2), "steps": torch.tensor(7, dtype=torch.int32)} for name in "ab"}
    model, _ = Gossip().mix_one(own, letters)
    assert (type(model["steps"]), model["steps"].dtype, model["w"].dtype) == (np.ndarray, np.int64, np.float64)
    assert (int(model["steps"]), model["w"].tolist()) == (7, pytest.approx([2 / 3, 2 / 3]))


def test_numbers_that_the_own_type_does_not_hold_are_infinite_and_warn_nobody() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model, told = Gossip().mix_one(np.zeros(2, np.float32), {"a": np.array([1e200, 0.0]), "b": np.ones(2)})
    assert told.rejected == {"a": "not finite"}
    assert (model.dtype, model.tolist()) == (np.float32, pytest.approx([1 / 3, 1 / 3]))


def test_strangers_doubles_and_silent_neighbours() -> None:
    pairs = [("a", [3.0]), ("a", [3.0]), ("b", [5.0]), ("x", [100.0])]
    model, told = Gossip().mix_one([1.0], pairs, weights={"a": 0.3, "b": 0.2, "c": 0.1})
    assert told.rejected == {"a": "duplicate id", "x": "no neighbour", "c": "missing"}
    assert model.tolist() == pytest.approx([0.8 * 1.0 + 0.2 * 5.0])
    model, told = Gossip().mix_one([1.0], {})
    assert (model.tolist(), told.kept) == ([1.0], "no usable letters")


def test_a_memory_is_passed_in_and_comes_back() -> None:
    rng = np.random.default_rng(1)
    hoods = Hoods([[0, 1, 2, 3]], np.full((1, 4), 0.25), [1])
    batched, single = LocalFoolsGold(history="differences"), LocalFoolsGold(history="differences")
    state = None
    for _ in range(3):
        models = rng.standard_normal((4, 6))
        expected = batched.mix(Letters(models), hoods).models[0]
        letters = {name: models[place] for place, name in enumerate("abc", 1)}
        model, told = single.mix_one(models[0], letters, state=state)
        np.testing.assert_array_equal(model, expected)
        state = told.state
    assert single.state_dict() == {}
    assert state is not None
    assert state["names"] == ("a", "b", "c")


@pytest.mark.parametrize(
    ("rule", "state", "told"),
    [
        (SybilWall(), {"direct": {}}, r"`state` should be what the last call told as `told\.state`.* \['direct'\]"),
        (SybilWall(), [1], "Found list"),
        (SybilWall(), LocalFoolsGold(history="differences"), r"SybilWall has no state \['histories'\]"),
        (SybilWall(), SybilWall(), "SybilWall remembers 2 values of a neighbour, whose model now has 3"),
        (
            LocalFoolsGold(history="differences"),
            LocalFoolsGold(history="differences"),
            r"FoolsGold \(local\)\(history=differences\) remembers 2 values .* has 3\. Begin without a state",
        ),
    ],
    ids=["keys", "list", "other rule", "other size", "other differences"],
)
def test_a_memory_of_something_else_is_refused(rule: Mixer, state: Any, told: str) -> None:
    if isinstance(state, Mixer):
        state = state.mix_one([0.0, 0.0], {"a": [1.0, 1.0]})[1].state
    with pytest.raises(StateError, match=told):
        rule.mix_one([0.0, 0.0, 0.0], {"a": [1.0, 1.0, 1.0]}, state=state)


@pytest.mark.parametrize("b", [-1, 1.5, True, "1"])
def test_how_many_may_be_malicious_is_a_number(b: Any) -> None:
    with pytest.raises(ParameterError, match=rf"`b` should be an integer >= 0.* Found b={b!r}"):
        NNA().mix_one([1.0], {"a": [2.0]}, b=b)


@pytest.mark.parametrize("rule", [NNA(), CSPlus(), Bridge()], ids=str)
def test_how_many_may_be_malicious_has_to_be_said(rule: Mixer) -> None:
    with pytest.raises(ParameterError, match=r"should know how many neighbours may be malicious\. Pass it: `b=1`"):
        rule.mix_one([1.0], {"a": [2.0]})


def test_a_lifted_rule_knows_its_own_f_and_rules_without_f_need_none() -> None:
    letters = {name: [float(place)] for place, name in enumerate("abcdef")}
    _, told = PerNeighbourhood(rule=Krum(f=2)).mix_one([0.0], letters)
    assert told.b == 2
    model, told = PerNeighbourhood(rule=Median()).mix_one([0.0], letters)
    assert (model.tolist(), told.weights) == ([2.0], None)


@pytest.mark.parametrize(
    ("own", "letters", "weights", "message"),
    [
        ("hello", {}, None, r"The own model cannot be read: unreadable \(str\)"),
        ([np.nan], {"a": [1.0]}, None, "The own model cannot be mixed: it is not finite"),
        ([1.0], {"a": [1.0]}, {"a": 1.5}, "`weights` should be finite, >= 0, and sum to at most 1"),
        ([1.0], {"a": [1.0]}, {"a": -0.5}, "`weights` should be finite, >= 0, and sum to at most 1"),
        ([1.0], ["a"], None, r"`letters` should be a mapping, or pairs \(name, model\). Found str"),
        ([1.0], {float("nan"): [1.0]}, None, "A letter's name should be the id of a neighbour"),
        (np.array([1, 2]), {}, None, "holds no floating-point numbers to mix, but int64"),
        ([1.0], None, None, "`letters` should be a mapping, or pairs .* Found NoneType"),
        ([1.0], {"a": [1.0]}, [0.5], "`weights` should be a mapping from neighbours to numbers. Found list"),
        ([1.0], {"a": [1.0]}, {"a": "x"}, "`weights` should be numbers. Found {'a': 'x'}"),
    ],
    ids=["own", "nan", "heavy", "negative", "pairs", "nobody", "integers", "nothing", "list", "text"],
)
def test_what_the_peer_itself_gets_wrong_is_an_error(own: Any, letters: Any, weights: Any, message: str) -> None:
    with pytest.raises((ParameterError, UpdatesError), match=message):
        Balance().mix_one(own, letters, weights=weights)
