"""Updates in any form come back in the same form, type and shape, and are never touched."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robustfl.aggregation.updates.layout import read_updates
from robustfl.defenses import Mean, Median, TrimmedMean
from robustfl.errors import UpdatesError
from tests.aggregation.cases import gaussian

SHAPES = st.lists(st.integers(1, 4), min_size=0, max_size=3).map(tuple)
NUMPY = st.sampled_from(["float16", "float32", "float64"])
TORCH = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
walk = settings(deadline=None, max_examples=40)


def rows_of(seed: int, n: int, shape: tuple[int, ...]) -> Any:
    return gaussian(seed, n, int(np.prod(shape, dtype=int))).reshape(n, *shape)


def same(one: Any, other: Any) -> bool:
    """Equal in type, dtype, device, shape and every value."""
    if isinstance(one, torch.Tensor):
        alike = (one.dtype, one.device, one.shape) == (other.dtype, other.device, other.shape)
        return alike and bool(torch.equal(one, other))
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and np.array_equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return len(one) == len(other) and all(map(same, one, other))


def round_trip(update: Any) -> None:
    """Three equal updates are their own median, in every collection, and stay what they were."""
    before = copy.deepcopy(update)
    for collection in ([update] * 3, (update for _ in range(3)), {"a": update, "b": update, 7: update}):
        value = Median()(collection)
        assert type(value) is (dict if isinstance(update, dict) else type(update))
        assert same(value, update)
    assert same(update, before)


@walk
@given(seed=st.integers(0, 99), shape=SHAPES, dtype=NUMPY, strided=st.booleans())
def test_numpy_arrays_come_back_as_they_were(seed: int, shape: tuple[int, ...], dtype: str, strided: bool) -> None:
    update = rows_of(seed, 2, shape).astype(dtype)
    round_trip(np.asarray(update[::-1][0]) if not strided else np.asarray(np.asfortranarray(update)[1]))


@walk
@given(seed=st.integers(0, 99), shape=SHAPES, dtype=TORCH, grad=st.booleans())
def test_tensors_come_back_as_they_were(seed: int, shape: tuple[int, ...], dtype: torch.dtype, grad: bool) -> None:
    update = torch.as_tensor(rows_of(seed, 1, shape)[0]).to(dtype)
    if grad:
        leaf = update.clone().requires_grad_()
        value = Median()([leaf] * 3)
        assert not value.requires_grad
        assert same(value, update)
        assert leaf.grad is None
    round_trip(update)


@walk
@given(seed=st.integers(0, 99), shapes=st.lists(SHAPES, min_size=1, max_size=4), dtypes=st.lists(NUMPY, min_size=4))
def test_lists_of_arrays_and_state_dicts_come_back_as_they_were(
    seed: int, shapes: list[tuple[int, ...]], dtypes: list[str]
) -> None:
    arrays = [rows_of(seed, 1, shape)[0].astype(dtype) for shape, dtype in zip(shapes, dtypes, strict=False)]
    arrays = [np.asarray(array) for array in arrays]
    round_trip(arrays)
    round_trip({f"layer.{place}": array for place, array in enumerate(arrays)})
    round_trip({place: torch.as_tensor(array) for place, array in enumerate(arrays)})


@walk
@given(seed=st.integers(0, 99), n=st.integers(1, 5), shape=SHAPES.filter(bool), dtype=NUMPY)
def test_stacked_updates_and_lists_of_rows_agree(seed: int, n: int, shape: tuple[int, ...], dtype: str) -> None:
    x = rows_of(seed, n, shape).astype(dtype)
    stacked = Mean()(x)
    assert (stacked.shape, stacked.dtype) == (shape, np.dtype(dtype))
    assert same(Mean()(list(x)), stacked)
    assert same(Mean()(torch.as_tensor(x)).numpy(), stacked)
    strided = np.moveaxis(np.moveaxis(x, 0, -1).copy(), -1, 0)
    assert same(Median()(strided), Median()(x))
    np.testing.assert_array_equal(Mean()([{"w": row} for row in x])["w"], stacked)


def named(value: Any) -> str:
    """The text of a test's parameter, unless it differs from run to run: by an address, or random weights."""
    return type(value).__name__ if " at 0x" in str(value) or isinstance(value, OrderedDict) else str(value)


def first_block(updates: Any) -> Any:
    return next(read_updates(updates).reader.pieces(None, 2))[1]()


def test_conversion_shares_memory_where_it_can() -> None:
    for x in (np.ones((3, 4), dtype=np.float32), np.ones((3, 2, 2))):
        assert np.shares_memory(first_block(x), x)
    tensor = torch.ones(3, 4)
    assert np.shares_memory(first_block(tensor), tensor.numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_worked_on_in_single_precision(dtype: torch.dtype) -> None:
    x = torch.full((64, 3), 2000.0, dtype=dtype)
    x[0] = 2048.0
    expected = x.double().mean(dim=0).to(dtype)
    assert same(Mean()(x), expected)
    assert same(Mean()(list(x)), expected)


@pytest.mark.parametrize("wide", ["float64", "longdouble"])
def test_wide_types_are_worked_on_in_double_precision(wide: str) -> None:
    value = Mean()([{"w": np.array([1.0, 1e100], dtype=wide), "b": np.zeros(2, np.float32)}] * 2)
    assert same(value["w"].astype(np.float64), np.array([1.0, 1e100]))
    assert (value["w"].dtype, value["b"].dtype) == (np.dtype(wide), np.float32)


# --------------------------------------------------------------------------------------------------- state dicts


def state(weight: float, steps: Any) -> dict[str, Any]:
    return {"w": torch.full((2,), weight), "steps": steps, "half": torch.tensor(weight, dtype=torch.bfloat16)}


def test_counters_take_the_lower_median_and_keep_their_type() -> None:
    values = [state(float(steps), torch.tensor(steps)) for steps in (3, 9, 5, 4)]
    answer = Mean()(values)
    assert same(answer["steps"], torch.tensor(4))
    assert same(answer["w"], torch.full((2,), 5.25))
    assert answer["half"].dtype == torch.bfloat16
    assert [value["steps"].item() for value in values] == [3, 9, 5, 4]
    flags = Mean()([{"w": np.ones(1), "on": np.array([flag, True])} for flag in (True, False, True)])
    assert same(flags["on"], np.array([True, True]))
    assert same(Mean()([{"w": np.ones(1), "steps": np.array(2, np.int32)}] * 2)["steps"], np.array(2, np.int32))


@pytest.mark.parametrize("hostile", [np.array(2**63, np.uint64), torch.tensor(2**62), np.array(True)])
def test_a_minority_decides_neither_the_value_nor_the_type_of_a_counter(hostile: Any) -> None:
    for honest in (torch.tensor(7), np.array(7, np.int64)):
        answer = Mean()([state(1.0, hostile), *(state(1.0, honest) for _ in range(3))])
        assert same(answer["steps"], honest)


def test_rejected_rows_have_no_say_in_counters() -> None:
    values = [state(np.nan, torch.tensor(0))] * 2 + [state(1.0, torch.tensor(8))] * 3
    assert Mean()(values)["steps"].item() == 8


def test_names_may_come_in_another_order() -> None:
    first = OrderedDict(a=np.array([1.0]), b=np.array([10.0]))
    second = {"b": np.array([30.0]), "a": np.array([3.0])}
    answer = Mean().aggregate([first, second])
    assert same(answer.value, {"a": np.array([2.0]), "b": np.array([20.0])})
    assert not answer.rejected.any()


def test_types_may_differ_between_clients_and_the_majority_wins() -> None:
    wide, narrow = np.array([1.0, 2.0]), np.array([1.0, 2.0], dtype=np.float32)
    assert same(Mean()([wide, narrow, narrow]), narrow)
    assert same(Mean()([wide, wide, torch.as_tensor(narrow)]), wide)
    assert same(Mean()([[1.0, 2.0], [3, 4]]), np.array([2.0, 3.0]))


# ------------------------------------------------------------------------------------------------ what is not read


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (None, "missing"),
        ("0.5", "unreadable (str)"),
        (b"\x80\x04", "unreadable (bytes): raw bytes, which should be deserialised first"),
        (3.5, "unreadable (float)"),
        ([], "unreadable (list): it is empty"),
        ([1.0, None], "unreadable (list): its part 0 is float, and should be an array"),
        ([1.0, 10**400], "unreadable (list): it holds an integer that is too large for a float"),
        ([[1.0], [2.0]], "unreadable (list): its part 0 is a list, and should be an array"),
        ({}, "unreadable (dict): it is empty"),
        (
            {"w": {"nested": np.zeros(2)}},
            "unreadable (dict): `w` is a dict; nested ones should be flattened into one",
        ),
        (np.array(["a", "b"]), "unreadable (ndarray): of type <U1, and should hold real numbers"),
        (np.array([None, 1.0]), "unreadable (ndarray): of type object, and should hold real numbers"),
        (np.zeros(2, np.complex64), "unreadable (ndarray): of type complex64, and should hold real numbers"),
        (torch.zeros(2, dtype=torch.complex64), "unreadable (Tensor): of type complex64, and should hold real numbers"),
        (
            torch.zeros(2).to_sparse(),
            "unreadable (Tensor): a sparse tensor (torch.sparse_coo); `to_dense` makes it dense",
        ),
        (np.zeros(2, np.int64), "wrong layout: it holds int64, that of the others holds float64"),
        (np.zeros(3), "wrong layout: array of shape [3]"),
        (np.zeros((2, 1)), "wrong layout: array of shape [2, 1]"),
        (np.zeros(0), "wrong layout: array of shape [0]"),
        ([np.zeros(2)], "wrong layout: sequence of shape [2]"),
        ({"w": np.zeros(2)}, "wrong layout: mapping of shape [2]"),
    ],
    ids=named,
)
def test_a_row_that_cannot_be_read_is_rejected_with_its_reason(bad: Any, reason: str) -> None:
    answer = Mean().aggregate([np.ones(2), bad, np.full(2, 3.0)])
    assert same(answer.value, np.full(2, 2.0))
    assert answer.rejected.tolist() == [False, True, False]
    assert answer.info["reasons"] == {1: reason}


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ([], "`updates` is empty"),
        ({}, "`updates` is empty"),
        (iter([]), "`updates` is empty"),
        (None, "one update a client. Found NoneType"),
        (3.0, "one update a client. Found float"),
        ("abc", "one update a client. Found str"),
        ([None, None], "No update could be read"),
        ([1.0, 2.0], "No update could be read"),
        (np.zeros(3), "Found an array of shape [3]"),
        (np.zeros((0, 3)), "Found an array of shape [0, 3]"),
        (np.zeros((3, 0)), "Found an array of shape [3, 0]"),
        (np.zeros((2, 2), np.int64), "Found int64. Convert them"),
        (np.zeros((2, 2), np.complex128), "Found complex128"),
        (np.array([[None]]), "Found object"),
        (torch.zeros(2, 2, dtype=torch.int32), "Found torch.int32"),
        ([np.zeros(0), np.zeros(0)], "no floating-point values"),
        ([np.zeros(2, np.int64)] * 3, "no floating-point values"),
        ([np.zeros(2), np.zeros(3)], "2 different layouts and none has a majority: array of shape [2]; array of"),
        (torch.nn.Linear(2, 3).state_dict(), "`weight` is the name of a parameter"),
    ],
    ids=named,
)
def test_what_is_no_collection_of_updates_is_an_error_that_says_so(updates: Any, message: str) -> None:
    with pytest.raises(UpdatesError) as caught:
        Mean()(updates)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a"], "Found 1 ids for 2 updates"),
        ("abc", "Found 3 ids for 2 updates"),
        ([{"a": 1}, {"a": 2}], "`ids` should be hashable"),
    ],
)
def test_ids_that_do_not_fit_are_an_error(ids: Any, message: str) -> None:
    with pytest.raises(UpdatesError, match=message):
        Mean()([[1.0], [2.0]], ids=ids)


def test_a_mapping_has_its_ids_already() -> None:
    with pytest.raises(UpdatesError, match="both given"):
        Mean()({"a": [1.0]}, ids=["a"])


def test_duplicate_ids_are_caught_in_stacked_updates_too() -> None:
    for x in (np.array([[1.0], [50.0], [3.0]]), torch.tensor([[1.0], [50.0], [3.0]])):
        answer = Mean().aggregate(x, ids=(name for name in ("a", "a", "b")))
        assert answer.value.tolist() == [3.0]
        assert answer.info["reasons"] == {0: "duplicate id 'a'", 1: "duplicate id 'a'"}


class Odd(np.ndarray):
    """An array with arithmetic of its own."""

    def max(self, *args: Any, **options: Any) -> Any:
        raise AssertionError("the arithmetic of a subclass was used")

    min = mean = max


@pytest.mark.parametrize("rule", [Mean(), Median(), TrimmedMean(f=0)], ids=repr)
def test_subclasses_of_arrays_are_read_as_arrays(rule: Any) -> None:
    odd = np.array([[1.0, 2.0], [3.0, 4.0]]).view(Odd)
    assert same(rule(odd), np.array([2.0, 3.0]))
    assert same(rule(list(odd)), np.array([2.0, 3.0]))
