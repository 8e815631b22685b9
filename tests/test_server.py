"""A rule as a server: whatever clients reply, the next model is finite and of the kind that was sent."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation import Aggregator
from robustfl.defenses import FRL, NNM, ClientMomentum, FLTrust, Krum, Mean, TrimmedMean
from robustfl.errors import ParameterError, StateError, UnknownNameError, UpdatesError
from robustfl.server import RobustServer

RULES = ["mean", "median", "NNM(f=1) >> TrimmedMean(f=1)", "geometric_median", "sign_majority"]


def model(value: float = 0.0, *, steps: int = 7) -> dict[str, Any]:
    return {
        "layer.weight": np.full((2, 3), value, np.float32),
        "norm.running_var": np.full(2, 1 + abs(value), np.float32),
        "norm.num_batches_tracked": np.array(steps),
        "half": np.full(2, value, np.float16),
    }


def changed(name: str, value: Any) -> dict[str, Any]:
    return {**model(1.0), name: value}


def raising() -> Any:
    raise RuntimeError("no such archive")


HOSTILE: dict[str, tuple[Any, str]] = {
    "nan": (changed("layer.weight", np.full((2, 3), np.nan)), "layer.weight: not finite"),
    "nan in a buffer": (changed("norm.running_var", np.array([np.nan, 1.0])), "norm.running_var: not finite"),
    "too wide": (changed("layer.weight", np.full((2, 3), 1e300)), "layer.weight: not finite"),
    "shape": (changed("half", np.zeros(3, np.float16)), "half: shape [3] in place of [2]"),
    "an axis more": (changed("half", np.zeros((1, 2), np.float16)), "half: shape [1, 2] in place of [2]"),
    "integers": (changed("half", np.zeros(2, np.int64)), "half: int64 in place of float16"),
    "floats": (
        changed("norm.num_batches_tracked", np.array(2.0)),
        "norm.num_batches_tracked: float64 in place of int64",
    ),
    "objects": (changed("half", np.array([None, None])), "half: object in place of float16"),
    "texts": (changed("half", "zero"), "half: str in place of float16"),
    "complex": (changed("half", np.zeros(2, np.complex64)), "half: complex64 in place of float16"),
    "sparse": (changed("half", torch.zeros(2).to_sparse()), "half: torch.float32 in place of float16"),
    "fewer names": ({"half": np.zeros(2)}, "names differ: it lacks layer.weight, norm.running_var, "),
    "more names": ({**model(), "x" * 99: np.zeros(2)}, f"names differ: it has {'x' * 60}"),
    "a list": ([np.zeros(2)], "a sequence of arrays in place of a mapping from names to arrays"),
    "a text": ("a model", "A model is a mapping, a sequence of arrays or an array. Found str."),
    "nothing": (None, "A model is a mapping, a sequence of arrays or an array. Found NoneType."),
    "raises": (raising, "RuntimeError: no such archive"),
}
"""Replies that are no models like the one that was sent, and how the reason for their refusal begins."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_reply_that_is_none_is_refused_by_name_and_reason(kind: str) -> None:
    reply, reason = HOSTILE[kind]
    honest = {number: model(0.5) for number in range(3)}
    step = RobustServer("mean").step(model(), {**honest, "liar": reply})
    assert list(step.refused) == ["liar"]
    assert step.refused["liar"].startswith(reason)
    assert step.model["layer.weight"].tolist() == [[0.5] * 3] * 2


def test_what_was_sent_is_the_template_and_not_what_most_clients_send() -> None:
    other = {"layer.weight": np.zeros((5, 5), np.float32)}
    step = RobustServer("mean").step(model(), {0: model(1.0), **dict.fromkeys(range(1, 6), other)})
    assert sorted(step.refused) == [1, 2, 3, 4, 5]
    assert step.model["layer.weight"].tolist() == [[1.0] * 3] * 2


REPLIES = st.one_of(
    st.sampled_from([reply for reply, _ in HOSTILE.values()]),
    st.builds(model, st.floats(-70000, 70000, width=32), steps=st.integers(-(2**63), 2**63 - 1)),
    st.builds(
        lambda x: changed("layer.weight", np.full((2, 3), x)), st.sampled_from([1e38, 3e38, 1e300, -1e5, np.inf])
    ),
)


@settings(max_examples=30, deadline=None)
@given(
    replies=st.dictionaries(st.one_of(st.integers(0, 9), st.sampled_from("abc"), st.none()), REPLIES, max_size=7),
    rule=st.sampled_from(RULES),
    buffers=st.sampled_from(["median", "keep", "rule"]),
    replies_are=st.sampled_from(["models", "deltas"]),
    data=st.data(),
)
def test_no_replies_end_a_round_nor_does_their_order_change_a_bit(
    replies: dict[Hashable, Any], rule: str, buffers: Any, replies_are: Any, data: st.DataObject
) -> None:
    server = RobustServer(rule, buffers=buffers, replies_are=replies_are)
    sent = model(2.0)
    step = server.step(sent, replies)
    assert set(step.refused) <= set(replies)
    assert (step.answer is None) == bool(step.held)
    for name, value in model(2.0).items():
        assert sent[name].tobytes() == value.tobytes()
        assert step.model[name] is not sent[name]
        assert (step.model[name].shape, step.model[name].dtype) == (value.shape, value.dtype)
        assert np.isfinite(step.model[name]).all()
        assert step.answer is not None or step.model[name].tobytes() == value.tobytes()
    later = {client: replies[client] for client in data.draw(st.permutations(list(replies)))}
    again = server.step(sent, later)
    assert (again.refused, list(again.refused), again.held) == (step.refused, list(step.refused), step.held)
    assert all(again.model[name].tobytes() == step.model[name].tobytes() for name in sent)


def test_differences_are_what_the_rule_sees_and_the_answer_is_added() -> None:
    sent, rule = np.array([10.0, -5.0]), TrimmedMean(f=1)
    rows = np.array([[0.1, 0.2], [0.3, 0.1], [0.2, 0.4], [1e6, 1e6]])
    expected = sent + rule(rows)
    models = RobustServer(rule).step(sent, dict(enumerate(sent + rows)))
    deltas = RobustServer(rule, replies_are="deltas").step(sent, dict(enumerate(rows)))
    assert deltas.model.tolist() == expected.tolist()
    assert models.model == pytest.approx(expected)
    assert models.answer is not None
    assert models.answer.info["ids"] == (0, 1, 2, 3)


def test_buffers_do_not_follow_the_signs_of_a_rule() -> None:
    replies = {number: {"w": np.ones(1), "bn.running_var": np.array([0.25])} for number in range(3)}
    sent = {"w": np.zeros(1), "bn.running_var": np.array([0.5])}

    def variance(buffers: Any) -> float:
        step = RobustServer("sign_majority", buffers=buffers).step(sent, replies)
        return float(step.model["bn.running_var"][0])

    assert variance("median") == 0.25
    assert variance("keep") == 0.5
    assert variance("rule") < 0
    unnamed = RobustServer("sign_majority", buffer_names=["ema"]).step(sent, replies)
    assert float(unnamed.model["bn.running_var"][0]) < 0, "what is a buffer is what the caller names"


def test_other_names_of_buffers_can_be_given() -> None:
    replies = {number: {"w": np.ones(1), "ema": np.array([value])} for number, value in enumerate([1.0, 2.0, 30.0])}
    step = RobustServer("mean", buffer_names=["ema"]).step({"w": np.zeros(1), "ema": np.zeros(1)}, replies)
    assert step.model["ema"].tolist() == [2.0]


def test_counters_are_lower_medians_and_never_wider_than_what_was_sent() -> None:
    replies = {number: model(0.0, steps=steps) for number, steps in enumerate([9, 8, 2**62, 7])}
    step = RobustServer("mean").step(model(), replies)
    assert (step.model["norm.num_batches_tracked"], step.model["norm.num_batches_tracked"].dtype) == (8, np.int64)
    kept = RobustServer("mean", buffers="keep").step(model(), replies)
    assert kept.model["norm.num_batches_tracked"] == 7


def test_a_row_that_the_rule_refuses_has_no_say_about_buffers_either() -> None:
    sent = {"w": np.zeros(2, np.float32), "running_mean": np.zeros(1, np.float32)}
    replies = {name: {"w": np.ones(2), "running_mean": np.array([1.0])} for name in "ab"}
    replies |= {"huge": {"w": np.full(2, 3e38), "running_mean": np.array([500.0])}}
    step = RobustServer("mean").step(sent, replies)
    assert list(step.refused) == ["huge"]
    assert step.model["running_mean"].tolist() == [1.0]


@pytest.mark.parametrize(
    ("server", "held"),
    [
        (RobustServer(Krum(f=1)), "Krum needs n >= 2f + 3 rows. Found n=3, f=1"),
        (RobustServer("mean", least=4), "3 of 4 replies can be used, fewer than 4."),
        (
            RobustServer(TrimmedMean(f=0), hostile="stop"),
            "TrimmedMean(f=0) was told to stop when more clients are caught than f=0. Found 1.",
        ),
        (RobustServer(TrimmedMean(f=1), hostile="stop"), ""),
    ],
    ids=["infeasible", "least", "stop", "not more than f"],
)
def test_a_model_is_kept_with_the_reason(server: RobustServer, held: str) -> None:
    sent = model(3.0)
    step = server.step(sent, {**{number: model(9.0) for number in range(3)}, 3: HOSTILE["raises"][0]})
    assert step.held.startswith(held)
    assert bool(step.held) == (step.answer is None) == (step.model["half"].tolist() == [3.0, 3.0]) == bool(held)
    assert list(step.refused) == [3]


def test_nobody_answered() -> None:
    assert RobustServer("mean").step(model(), {}).held == "0 of 0 replies can be used, fewer than 1."


def test_a_next_model_that_its_type_cannot_hold_is_not_used() -> None:
    sent = {"w": np.full(2, 60000.0, np.float16)}
    step = RobustServer("mean", replies_are="deltas").step(sent, {0: {"w": np.full(2, 9000.0)}})
    assert step.held == "w: the next model would not be finite."
    assert step.model["w"].tolist() == [60000.0] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_torch_stays_torch_and_numpy_replies_are_read(dtype: torch.dtype) -> None:
    sent = {"w": torch.zeros(2, dtype=dtype, requires_grad=True), "n": torch.tensor(3)}
    replies: dict[int, Any] = {
        0: {"w": torch.tensor([0.5, 1.0], dtype=dtype), "n": torch.tensor(4)},
        1: {"w": np.array([0.5, 2.0]), "n": np.array(4)},
        2: {"w": torch.tensor([0.5, 3.0], dtype=torch.bfloat16), "n": np.array(5)},
    }
    step = RobustServer("median").step(sent, replies)
    assert step.refused == {}
    assert (step.model["w"].dtype, step.model["w"].tolist(), step.model["n"].tolist()) == (dtype, [0.5, 2.0], 4)
    assert not step.model["w"].requires_grad
    backwards = RobustServer("median").step({"w": np.zeros(2), "n": np.array(3)}, replies)
    assert isinstance(backwards.model["w"], np.ndarray)
    assert backwards.model["w"].tolist() == [0.5, 2.0]


@pytest.mark.parametrize("form", [lambda x: x, lambda x: [x, x], lambda x: (x,)], ids=["array", "list", "tuple"])
def test_models_without_names(form: Callable[[Any], Any]) -> None:
    step = RobustServer("mean").step(form(np.zeros(2)), {0: form(np.ones(2)), 1: form(np.full(2, 3.0))})
    assert np.asarray(step.model).ravel().tolist() == [2.0] * np.asarray(form(np.zeros(2))).size


def test_a_rule_remembers_clients_by_their_ids() -> None:
    server = RobustServer(ClientMomentum(beta=0.5) >> Mean())
    sent, reply = np.zeros(1), {"a": np.ones(1), "b": np.ones(1)}
    server.step(sent, reply)
    late = server.step(sent, {"c": np.ones(1), **reply})
    assert late.held == ""
    with pytest.raises(StateError):
        server.step(np.zeros(2), {"a": np.ones(2), "b": np.ones(2)})


def test_a_trusted_update_is_a_reply_of_the_server() -> None:
    sent = np.full(2, 10.0)
    step = RobustServer(FLTrust()).step(
        sent, {0: np.array([11.0, 10.0]), 1: np.array([9.0, 10.0])}, trusted=np.array([11.0, 10.0])
    )
    assert step.model == pytest.approx(np.array([11.0, 10.0]))
    for wrong in (None, np.full(2, np.nan), np.zeros(3)):
        with pytest.raises(UpdatesError, match="trusted"):
            RobustServer(FLTrust()).step(sent, {0: sent}, trusted=wrong)


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ({"w": np.array([np.inf])}, "w is not"),
        ({"w": np.array(["a"])}, "real numbers"),
        ({"n": np.array(1)}, "no floating-point values"),
        ({"w": np.zeros(0)}, "no floating-point values"),
        ({}, "no floating-point values"),
        ({"running_var": np.ones(1)}, "nothing to aggregate"),
        (7, "Found int"),
    ],
    ids=str,
)
def test_what_was_sent_has_to_be_a_model(sent: Any, message: str) -> None:
    with pytest.raises(UpdatesError, match=message):
        RobustServer("mean").step(sent, {0: sent})


def test_replies_have_to_have_names() -> None:
    with pytest.raises(UpdatesError, match=r"should map ids of clients to replies\. Found list"):
        RobustServer("mean").step(model(), [model()])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [{"replies_are": "gradients"}, {"buffers": "mean"}, {"hostile": "raise"}, {"least": 0}, {"buffer_names": "ema"}],
    ids=str,
)
def test_other_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=next(iter(options))):
        RobustServer("mean", **options)


@pytest.mark.parametrize(
    "rule",
    [NNM(f=1), FRL(), "nnm(f=1)", np.mean, "dp_clip(clip=1.0) >> mean"],
    ids=lambda rule: getattr(rule, "__name__", str(rule)),
)
def test_what_is_no_rule_for_updates_is_refused(rule: Any) -> None:
    with pytest.raises((ParameterError, UnknownNameError)):
        RobustServer(rule)


def test_a_text_is_told_f() -> None:
    rule: Aggregator = RobustServer("nnm >> trimmed_mean", f=2).rule
    assert rule == NNM(f=2) >> TrimmedMean(f=2)
    assert RobustServer("NNM(f=1) >> trimmed_mean", f=2).rule == NNM(f=1) >> TrimmedMean(f=2)
    with pytest.raises(ParameterError, match="`f` is for a rule that is given as a text"):
        RobustServer(Krum(f=1), f=1)
