"""The doors of the kit: the report and its text, leaving out, parametrised tests, refusals, and no traces."""

from __future__ import annotations

import builtins
import doctest
import importlib
import pickle
import pkgutil
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import robustfl.testing
from robustfl.defenses import Krum, Mean, Median, TrimmedMean
from robustfl.errors import ParameterError, RobustflError
from robustfl.testing import ConformanceError, aggregator_checks, check_aggregator, properties
from robustfl.testing.conduct import global_generators, same_state
from robustfl.testing.violation import literal

OF_OWN_RULES = {"pickling", "text", "state", "bounds", "f_kept", "arrival", "names", "reunion", "forms", "sensitivity"}


def mean(x: Any) -> Any:
    return x.mean(axis=0)


def unfair_mean(x: Any) -> Any:
    weights = 1.0 + np.arange(len(x))
    return weights @ x


# ---------------------------------------------------------------------------------------------------------- report


def test_the_report_has_every_property_once_with_a_status() -> None:
    report = check_aggregator(mean, skip=["hostile", "quiet"], max_examples=5)
    assert [finding.name for finding in report.findings] == list(properties())
    assert report.conforms
    assert report.violated == ()
    assert set(report.named("not claimed")) == {"quiet", "hostile"}
    assert {*OF_OWN_RULES, "f_zero", "breakdown", "rotation"} == set(report.named("not applicable"))
    assert report["breakdown"].reason == "there is no Byzantine row; pass f=1 or more"
    assert sum(len(report.named(status)) for status in ("held", "not claimed", "not applicable")) == len(properties())


def test_the_report_is_printed_a_property_a_line() -> None:
    lines = str(check_aggregator(Median(), max_examples=2)).split("\n")
    assert lines[0] == "Median(): 27 of 27 examined properties hold (f=1, n >= 3)"
    assert lines[1] == "          held  permutation: the order of the rows does not matter"
    (line,) = [line for line in lines if " state:" in line]
    assert line.startswith("not applicable  state: ")
    assert line.endswith("(the rule has no memory)")


def test_an_unknown_finding_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="beauty"):
        check_aggregator(mean, claims=["box"], max_examples=1)["beauty"]


def test_a_violation_is_a_failed_assertion_that_names_everything_and_shows_code() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_aggregator(unfair_mean, claims=["permutation", "consensus", "scaling"])
    message = str(caught.value)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value, RobustflError)
    assert caught.value.report.violated == ("permutation", "consensus")
    assert "1 of 3 examined properties hold (f=0, n >= 3)" in message
    assert "violated  permutation: the order of the rows does not matter" in message
    assert "violated  consensus: equal rows are their own aggregate" in message
    assert "        x = np.array([[0.0], [0.0], [0.0], [1.0]])\n        order = [0, 1, 3, 2]" in message
    assert "held" not in message


def test_the_error_survives_a_worker_process() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_aggregator(unfair_mean, claims=["consensus"])
    twin = pickle.loads(pickle.dumps(caught.value))
    assert str(twin) == str(caught.value)
    assert twin.report == caught.value.report


def test_equal_seeds_find_equal_counterexamples() -> None:
    options: dict[str, Any] = {"claims": ["permutation", "box"], "raise_on_violation": False}
    assert check_aggregator(unfair_mean, **options) == check_aggregator(unfair_mean, **options)
    assert check_aggregator(unfair_mean, seed=1, **options).violated == ("permutation", "box")


@given(
    arrays.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        elements=st.floats(width=16),
    )
)
@settings(deadline=None, max_examples=50)
def test_printed_arrays_are_code_that_makes_them(x: np.ndarray[Any, Any]) -> None:
    made = eval(literal(x), {"np": np})
    assert made.dtype == x.dtype
    np.testing.assert_array_equal(made, x)


def test_printed_tensors_are_code_that_makes_them() -> None:
    import torch

    x = torch.tensor([[0.1, float("nan")], [float("-inf"), 3.0]], dtype=torch.bfloat16)
    made = eval(literal(x), {"np": np, "torch": torch})
    assert made.dtype == x.dtype
    assert torch.equal(made.nan_to_num(), x.nan_to_num())


def test_printed_forms_are_code_that_makes_them() -> None:
    form = [{"weight": np.zeros((1, 2)), "bias": np.array([1.5])}, {"weight": [0.5, 1.0], "bias": None}]
    made = eval(literal(form), {"np": np})
    assert same_state(made, form)


# ---------------------------------------------------------------------------------------------- what is examined


def test_f_and_the_least_n_are_read_from_the_rule() -> None:
    report = check_aggregator(Krum(f=2), claims=["box"], max_examples=1)
    assert (report.f, report.least) == (2, 7)
    report = check_aggregator(Median(), f=3, claims=["box"], max_examples=1)
    assert (report.f, report.least) == (3, 7)
    report = check_aggregator(mean, f=2, least=11, claims=["box"], max_examples=1)
    assert (report.f, report.least) == (2, 11)


def test_the_rule_that_is_examined_is_never_asked_itself() -> None:
    class Counts:
        calls = 0

        def __call__(self, x: Any) -> Any:
            self.calls += 1
            return x.mean(axis=0)

    rule = Counts()
    check_aggregator(rule, claims=["permutation", "repeatable"], max_examples=3)
    assert rule.calls == 0


def test_skipping_beats_claiming() -> None:
    report = check_aggregator(unfair_mean, claims=["permutation", "scaling"], skip="permutation")
    assert report.named("held") == ("scaling",)


def test_what_a_rule_declares_is_not_examined_unless_it_is_asked_for() -> None:
    class Declared(Mean):
        @property
        def unclaimed(self) -> frozenset[str]:
            return frozenset({"breakdown"})

    rule = Declared()
    assert check_aggregator(rule, max_examples=2, skip=["text", "pickling"])["breakdown"].status == "not claimed"
    asked = check_aggregator(rule, claims=["breakdown"], raise_on_violation=False)
    assert asked.violated == ("breakdown",)


def test_a_misspelt_declaration_is_refused() -> None:
    class Misspelt(Mean):
        @property
        def unclaimed(self) -> frozenset[str]:
            return frozenset({"permutations"})

    with pytest.raises(
        ParameterError, match=r"`unclaimed` names no property 'permutations'\. Did you mean 'permutation'"
    ):
        check_aggregator(Misspelt())


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (mean, {"skip": ["scale"]}, r"`skip` names no property 'scale'"),
        (mean, {"claims": ["no"]}, r"`claims` names no property 'no'"),
        (mean, {"accepts": "jax"}, r"`accepts` should name kinds of arrays, of numpy, torch\. Found 'jax'"),
        (mean, {"accepts": ()}, r"`accepts` should name"),
        (mean, {"max_examples": 0}, r"max_examples >= 1\. Found max_examples=0"),
        (mean, {"f": -1}, r"f >= 0\. Found f=-1"),
        (mean, {"least": 0}, r"least >= 1\. Found least=0"),
        (Krum(f=2), {"f": 1}, r"holds f=2\. Found f=1\. Leave `f` out"),
        (Krum, {}, r"should be an instance .* Pass Krum\(\.\.\.\)"),
        ("median", {}, r"should be an instance .* Found 'median'"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(rule: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        check_aggregator(rule, **options)


def test_a_missing_hypothesis_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "hypothesis":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(RobustflError, match=r"pip install 'robustfl\[testing\]'"):
        check_aggregator(mean)


# --------------------------------------------------------------------------------------------------- one by one

CHECKS = dict(aggregator_checks(TrimmedMean(f=1), max_examples=3))


@pytest.mark.parametrize("name", CHECKS)
def test_checks_parametrise_a_test(name: str) -> None:
    CHECKS[name]()


def test_checks_are_those_of_the_whole_examination() -> None:
    report = check_aggregator(TrimmedMean(f=1), max_examples=3)
    assert set(CHECKS) == set(report.named("held"))
    assert set(dict(aggregator_checks(TrimmedMean(f=1), skip=["box"]))) == set(CHECKS) - {"box"}


def test_one_failing_check_fails_alone() -> None:
    checks = dict(aggregator_checks(unfair_mean, claims=["scaling", "permutation"]))
    checks["scaling"]()
    with pytest.raises(ConformanceError, match="0 of 1 examined properties hold") as caught:
        checks["permutation"]()
    assert caught.value.report.violated == ("permutation",)


# ------------------------------------------------------------------------------------------------------- no traces


def test_the_examination_leaves_the_global_generators_as_they_were() -> None:
    import torch

    def states() -> tuple[Any, ...]:
        numpys: Any = np.random.get_state()  # noqa: NPY002
        return random.getstate(), numpys[1].tobytes(), torch.get_rng_state().tolist()

    before = states()
    check_aggregator(Mean(), claims=["generators", "deterministic", "permutation"])
    assert states() == before


def test_moved_generators_are_named_and_put_back() -> None:
    import torch

    before = random.getstate(), torch.get_rng_state().tolist()
    with global_generators(1) as moved:
        assert moved() == []
        random.random()
        assert moved() == ["Python"]
        torch.rand(1)
        assert moved() == ["Python", "torch"]
    assert (random.getstate(), torch.get_rng_state().tolist()) == before


def test_states_are_compared_through_and_through() -> None:
    one = {"a": np.arange(3.0), "b": [1, {"c": None}], "d": "x"}
    assert same_state(one, {"a": np.arange(3.0), "b": [1, {"c": None}], "d": "x"})
    for other in ({**one, "a": np.zeros(3)}, {**one, "b": [1, {"c": 0}]}, {**one, "b": [1]}, {"a": one["a"]}, None):
        assert not same_state(one, other)


def modules() -> list[str]:
    return [f"robustfl.testing.{info.name}" for info in pkgutil.iter_modules(robustfl.testing.__path__)]


@pytest.mark.parametrize("name", ["robustfl.testing", *modules()])
def test_the_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
