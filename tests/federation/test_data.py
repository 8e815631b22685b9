"""Data sets: what they hold, that loading is deterministic, and where files may lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl import registry
from robustfl.errors import DataError
from robustfl.federation.data import digits
from robustfl.federation.data.data_sets import CIFAR10, CSV, IDX, NPZ, Digits
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.files import ROOT_VARIABLE, data_roots, inside
from robustfl.federation.data.labels import number_classes, stratified, stratified_split

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def _no_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


def dataset(**changes: Any) -> Dataset:
    parts: dict[str, Any] = {
        "name": "toy",
        "train_x": np.zeros((4, 3), np.float32),
        "train_y": np.array([0, 1, 0, 1]),
        "test_x": np.ones((3, 3), np.float32),
        "test_y": np.array([1, 1, 0]),
        "classes": ("no", "yes"),
    }
    return Dataset(**{**parts, **changes})


# ---------------------------------------------------------------------------------------------------- Dataset


def test_a_dataset_knows_its_shape_and_chance_and_is_read_only() -> None:
    x = np.zeros((4, 3))
    toy = dataset(train_x=x)
    assert toy.input_shape == (3,)
    assert toy.chance == pytest.approx(2 / 3)
    assert toy.train_x.dtype == np.float32
    assert toy.train_y.dtype == np.int64
    for part in (toy.train_x, toy.train_y, toy.test_x, toy.test_y):
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1
    assert x.flags.writeable


def holed(value: float, rows: int = 4) -> Array:
    x = np.zeros((rows, 3))
    x[-1, 1] = value
    return x


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train_x": holed(np.nan)}, "Sample 3"),
        ({"train_x": holed(-np.inf)}, "Sample 3"),
        ({"train_x": holed(1e39)}, "finite in float32"),
        ({"train_x": holed(np.nan, 9000), "train_y": np.arange(9000) % 2}, "Sample 8999"),
        ({"train_x": np.zeros((5, 3))}, "5 and 4 labels"),
        ({"train_x": np.zeros((4, 2))}, "one shape"),
        ({"train_x": np.zeros((4, 0))}, "not be empty"),
        ({"train_x": np.zeros(4)}, "not be empty"),
        ({"train_x": np.zeros((4, 3), complex)}, "real numbers"),
        ({"train_x": np.full((4, 3), "a")}, "real numbers"),
        ({"train_x": np.full((4, 3), None)}, "real numbers"),
        ({"test_x": np.zeros((0, 3)), "test_y": np.zeros(0, int)}, "not be empty"),
        ({"train_y": np.array([0, 1, 2, 1])}, "Sample 2 has label 2"),
        ({"train_y": np.array([0, -1, 0, 1])}, "Sample 1 has label -1"),
        ({"train_y": np.array([0.0, 1, 0, 1])}, "integers"),
        ({"test_y": np.array([[1, 1, 0]])}, "integers"),
        ({"classes": ("one",)}, "two or more"),
        ({"classes": ("same", "same")}, "distinct"),
    ],
)
def test_a_dataset_refuses_what_is_malformed(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset(**changes)


# ---------------------------------------------------------------------------------------------------- labels


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60), st.integers(0, 70), st.integers(0, 2))
def test_stratified_choice_keeps_proportions(labels: list[int], count: int, keep: int) -> None:
    y = np.array(labels)
    chosen = stratified(y, count, np.random.default_rng(0), keep=keep)
    sizes, taken = np.bincount(y), np.bincount(y[chosen], minlength=max(labels) + 1)
    available = np.maximum(sizes - keep, 0)
    assert (np.diff(chosen) > 0).all()
    assert len(chosen) == min(count, available.sum())
    assert (taken <= available).all()
    exact = sizes * count / len(y)
    if (np.ceil(exact) <= available).all():
        assert (np.abs(taken - exact) < 1).all()


@given(st.lists(st.integers(0, 4), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 9))
def test_a_split_is_complete_disjoint_and_leaves_every_class_for_training(
    labels: list[int], fraction: float, seed: int
) -> None:
    y = np.array(labels)
    if len(set(labels)) == len(labels):
        with pytest.raises(DataError, match="identifier"):
            stratified_split(y, fraction, seed)
        return
    train, test = stratified_split(y, fraction, seed)
    assert sorted([*train, *test]) == list(range(len(y)))
    assert len(test) >= 1
    assert set(y[train]) == set(labels)


def test_class_numbers_follow_the_order_of_the_labels() -> None:
    train, test, names = number_classes(np.array([5, 1, 9, 1]), np.array([9, 5]))
    assert (train.tolist(), test.tolist(), names) == ([1, 0, 2, 0], [2, 1], ("1", "5", "9"))


@pytest.mark.parametrize("unknown", [0, 3, 10])
def test_a_test_label_that_training_lacks_is_an_error(unknown: int) -> None:
    with pytest.raises(DataError, match=rf"'{unknown}' \(sample 1\)"):
        number_classes(np.array([1, 5, 9]), np.array([5, unknown]))
    with pytest.raises(DataError, match="never occurs"):
        number_classes(np.array([], int), np.array([unknown]))


# ---------------------------------------------------------------------------------------------------- data roots


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "..", "a/..", "C:\\x", "\\\\host\\share", "..\\x", "C:x", "a\0b"]
)
def test_no_path_leaves_the_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError):
        inside(tmp_path, path)


def test_links_may_stay_inside_the_root_but_not_leave_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "secret"
    root.mkdir()
    outside.write_text("secret")
    (root / "file").write_text("fine")
    (root / "near").symlink_to("file")
    (root / "far").symlink_to(outside)
    (root / "loop").symlink_to("loop")
    assert inside(root, "near") == (root / "file").resolve()
    with pytest.raises(DataError, match="leaves the data root"):
        inside(root, "far")
    with pytest.raises(DataError):
        CSV(path="far", label_column="y").load(root)
    with pytest.raises(DataError):
        CSV(path="loop", label_column="y").load(root)


def test_roots_are_searched_in_order_and_must_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    monkeypatch.setenv(ROOT_VARIABLE, str(second))
    assert data_roots(first) == (first.resolve(), second.resolve())
    assert data_roots(second) == data_roots(None) == (second.resolve(),)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(DataError, match=f"{ROOT_VARIABLE}.*existing folder"):
        data_roots(None)


@pytest.mark.parametrize("data", [CSV(path="x.csv", label_column="y"), IDX(), NPZ(path="x.npz"), CIFAR10()], ids=repr)
def test_absent_files_are_reported_with_a_remedy(data: Data, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"No data root.*{ROOT_VARIABLE}"):
        data.load()
    with pytest.raises(DataError, match=r"not found. Searched .*lacks"):
        data.load(tmp_path)


# ---------------------------------------------------------------------------------------------------- Digits


def test_digits() -> None:
    digits = Digits().load()
    assert (digits.train_x.shape, digits.test_x.shape) == ((1347, 1, 8, 8), (450, 1, 8, 8))
    assert (digits.train_x.min(), digits.train_x.max()) == (0, 1)
    assert digits.classes == tuple("0123456789")
    assert 0.1 < digits.chance < 0.11
    whole = np.bincount(np.concatenate([digits.train_y, digits.test_y]))
    assert np.abs(np.bincount(digits.test_y) - whole * 450 / 1797).max() < 1


def test_digits_are_those_of_scikit_learn_wherever_it_keeps_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    table = digits._digits()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    found = digits._digits()
    assert found.shape == (1797, 65)
    assert (table.dtype, table.tolist()) == (found.dtype, found.tolist())


def test_reading_twice_gives_equal_arrays() -> None:
    first, second = Digits()._read(()), Digits()._read(())
    assert first is not second
    assert np.array_equal(first.train_x, second.train_x)
    assert np.array_equal(first.test_y, second.test_y)


def test_loading_is_cached_and_depends_on_the_parameters() -> None:
    assert Digits().load() is Digits(split_seed=0).load()
    other = Digits(split_seed=1).load()
    assert not np.array_equal(other.test_x, Digits().load().test_x)
    assert len(Digits(test_fraction=0.1).load().test_y) == 180


def test_names() -> None:
    assert set(registry.find("data")) == {
        *("digits", "fashion_mnist", "csv", "idx", "npz", "cifar10"),
        *("flows", "sessions", "transferred"),
    }


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("factor", "kind"), [(1, "f4"), (1, "i8"), (1 / 255, "f8")])
def test_bytes_beside_other_numbers_get_one_scale(tmp_path: Path, part: str, factor: float, kind: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
    parts = {"x_train": x, "x_test": x, "y_train": np.arange(30) % 3, "y_test": np.arange(30) % 3}
    np.savez(tmp_path / "d.npz", **{**parts, f"x_{part}": (x * factor).astype(kind)})
    data = NPZ(path="d.npz").load(tmp_path)
    np.testing.assert_allclose(data.train_x, data.test_x, rtol=1e-6)
    assert data.train_x.max() == 1
    assert ("divided by 255" if factor == 1 else "scaled already") in data.notes[0]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (-1.0, "the test samples should have the scale of the other part"),
        (256.0, "the test samples should have the scale of the other part"),
        (float("nan"), "`test_x` should be finite in float32. Sample 0 is not"),
        (float("inf"), "`test_x` should be finite in float32. Sample 0 is not"),
    ],
)
def test_bytes_beside_numbers_that_are_no_grey_levels_are_an_error(tmp_path: Path, wrong: float, told: str) -> None:
    x = np.full((6, 4), 7, np.uint8)
    other = np.where(np.arange(4) == 1, wrong, x)
    np.savez(tmp_path / "d.npz", x_train=x, x_test=other, y_train=np.arange(6) % 2, y_test=np.arange(6) % 2)
    with pytest.raises(DataError, match=told):
        NPZ(path="d.npz").load(tmp_path)


@pytest.mark.parametrize(("owners", "message"), [([0, 1], "4 samples and 2 owners"), ([0, 1, 2, 0], "0 to 1")])
def test_owners_fit_the_samples(owners: list[int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        dataset(train_owners=np.array(owners), owners=("ann", "bob"))
