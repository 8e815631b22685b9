"""A row that cannot be read is refused, and the reason names what is to be mended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.defenses import Median
from robustfl.errors import UpdatesError


def freed() -> torch.Tensor:
    tensor = torch.ones(2)
    tensor.untyped_storage().resize_(0)
    return tensor


UNREADABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "meta": (lambda: torch.empty(2, device="meta"), "meta"),
    "freed": (freed, "memory was freed"),
    "sparse": (lambda: torch.eye(2).to_sparse(), "sparse"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]), "nested"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.quint8), "quint8"),
    "masked": (lambda: np.ma.masked_array([1.0, 99.0], mask=[False, True]), "masked"),
    "text": (lambda: np.array(["1", "2"]), "<U1"),
    "date": (lambda: np.array(["2026-01-01"], "datetime64[D]"), "datetime64"),
    "complex": (lambda: np.ones(2) + 0j, "complex128"),
    "none": (lambda: None, "None"),
    "number": (lambda: 5, "int"),
    "bytes": (lambda: bytearray(b"12"), "bytearray"),
    "mapping": (lambda: {"kernel": np.ones(2)}, "dict"),
    "module": (lambda: torch.nn.Linear(2, 2), "state_dict"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_a_leaf_that_cannot_be_read_is_named_with_its_key(what: str) -> None:
    make, clue = UNREADABLE[what]
    good = [{"fc.weight": np.full(2, float(row)), "fc.bias": np.zeros(2)} for row in (1, 3)]
    answer = Median().aggregate([*good, {"fc.weight": np.ones(2), "fc.bias": make()}])
    assert answer.rejected.tolist() == [False, False, True]
    assert "`fc.bias`" in answer.info["reasons"][2]
    assert clue in answer.info["reasons"][2]
    assert answer.value["fc.weight"].tolist() == [2.0, 2.0]
    with pytest.raises(UpdatesError) as caught:
        Median()([{"fc.weight": np.ones(2), "fc.bias": make()}] * 3)
    assert "`fc.bias`" in str(caught.value)
    assert clue in str(caught.value)


@pytest.mark.parametrize("make", [bytes, bytearray, lambda raw: memoryview(raw)], ids=["bytes", "bytearray", "view"])
def test_raw_bytes_are_no_numbers(make: Callable[[bytes], Any]) -> None:
    with pytest.raises(UpdatesError, match="deserialise"):
        Median()([make(b"NUMPY"), make(b"NUMPZ")])
    with pytest.raises(UpdatesError, match="one update a client"):
        Median()(make(b"NUMPY"))


def test_rows_under_a_mask_are_refused_and_an_empty_mask_is_none() -> None:
    rows = np.ma.masked_greater(np.array([[1.0], [2.0], [1e9], [1e9], [1e9]]), 1e6)
    answer = Median().aggregate(rows)
    assert answer.value.tolist() == [1.5]
    assert answer.rejected.tolist() == [False, False, True, True, True]
    assert Median()(np.ma.masked_array([[1.0], [3.0]])).tolist() == [2.0]
    assert Median()([np.ma.masked_array([1.0]), np.ma.masked_array([3.0])]).tolist() == [2.0]


def test_a_lazily_negated_tensor_has_its_sign() -> None:
    negated = torch.full((3, 2), 1 + 2j).conj().imag
    assert negated.is_neg()
    assert Median()(negated).tolist() == [-2.0, -2.0]
    assert Median()(list(negated)).tolist() == [-2.0, -2.0]
    assert Median()([{"w": row} for row in negated])["w"].tolist() == [-2.0, -2.0]


@pytest.mark.parametrize("rows", [torch.eye(3).to_sparse(), torch.empty(3, 2, device="meta")], ids=["sparse", "meta"])
def test_a_stack_that_cannot_be_read_says_why(rows: torch.Tensor) -> None:
    with pytest.raises(UpdatesError, match=r"sparse|meta"):
        Median()(rows)


# --------------------------------------------------------------------------------------- names, prefixes, missing keys


@pytest.mark.parametrize(
    "state",
    [
        {f"fc{layer}.weight": torch.ones(4, 4) for layer in range(3)} | {"fc3.bias": torch.ones(4)},
        {"weight": torch.ones(2), "bias": torch.ones(2)},
        torch.nn.LSTM(2, 2).state_dict(),
        dict(torch.nn.BatchNorm1d(3).named_buffers()) | dict(torch.nn.BatchNorm1d(3).named_parameters()),
    ],
    ids=["layers", "bare", "lstm", "normalisation"],
)
def test_layers_are_not_taken_for_clients(state: Any) -> None:
    with pytest.raises(UpdatesError, match=r"name of a parameter.*put it in a list"):
        Median()(state)
    assert Median()([state] * 3).keys() == state.keys()


def test_clients_may_have_names_with_dots() -> None:
    clients = {"10.0.0.1": np.ones(2), "alpha": np.ones(2), "site.b": np.ones(2), "weight": np.ones(2)}
    assert Median()(clients).tolist() == [1.0, 1.0]


PLAIN = {"fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(2)}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_module.", "net.core."])
def test_a_prefix_is_named(prefix: str) -> None:
    wrapped = {f"{prefix}{name}": value for name, value in PLAIN.items()}
    assert repr(prefix) in Median().aggregate([PLAIN, PLAIN, wrapped]).info["reasons"][2]
    assert repr(prefix) in Median().aggregate([wrapped, wrapped, PLAIN]).info["reasons"][2]
    with pytest.raises(UpdatesError) as caught:
        Median()([PLAIN, wrapped])
    assert repr(prefix) in str(caught.value)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"fc.weight": torch.ones(2, 2)}, "it lacks `fc.bias`"),
        ({**PLAIN, "extra": torch.ones(1)}, "only it has `extra`"),
        ({"fc.weight": torch.ones(2, 2), "fc.biass": torch.ones(2)}, "it lacks `fc.bias`; only it has `fc.biass`"),
        (
            {"fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(3)},
            "`fc.bias` has shape [3], that of the others has [2]",
        ),
        ({"fc.weight": torch.ones(2, 2), "fc.bias": torch.ones(2).int()}, "`fc.bias` holds int32"),
    ],
    ids=["lacks", "more", "misspelt", "shape", "type"],
)
def test_the_first_difference_is_named(other: dict[str, Any], reason: str) -> None:
    assert reason in Median().aggregate([PLAIN, PLAIN, other]).info["reasons"][2]


def test_different_mistakes_are_all_told_once() -> None:
    with pytest.raises(UpdatesError) as caught:
        Median()([None, "a", None, {"w": 5}, "b"])
    assert str(caught.value).count("missing") == 1
    assert str(caught.value).count("(str)") == 1
    assert "Row 3: unreadable (dict): `w` is int" in str(caught.value)
