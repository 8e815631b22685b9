"""CSV tables: encoded by training rows alone; what is wrong is named by line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl.errors import DataError, ParameterError
from robustfl.federation.data.data_sets import CSV
from robustfl.federation.data.dataset import Dataset
from robustfl.federation.data.files import ROOT_VARIABLE
from robustfl.federation.data.labels import stratified_split


@pytest.fixture(autouse=True)
def _no_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


def load_csv(root: Path, text: str | bytes, **parameters: Any) -> Dataset:
    (root / "t.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return CSV(**{"path": "t.csv", "label_column": "y", **parameters}).load(root)


def table(rows: int = 40) -> str:
    generator = np.random.default_rng(0)
    lines = ["age,city,flat,y"]
    for row in range(rows):
        age = "" if row % 9 == 4 else f"{generator.normal(40, 9):.3f}"
        city = ["Oslo", '"Rio, BR"', "?"][row % 3]
        lines.append(f"{age},{city},7,{'yes' if row % 2 else 'no'}")
    return "\r\n".join(lines) + "\r\n\r\n"


def test_a_csv_table(tmp_path: Path) -> None:
    data = load_csv(tmp_path, table())
    assert data.classes == ("no", "yes")
    assert data.input_shape == (4,)  # age, three cities (one of them: missing); `flat` is constant
    assert (len(data.train_x), len(data.test_x)) == (30, 10)
    ages, cities = data.train_x[:, 0], np.concatenate([data.train_x, data.test_x])[:, 1:]
    assert ages.mean() == pytest.approx(0, abs=1e-6)  # statistics are those of the training rows, after filling
    assert ages.std() == pytest.approx(1, abs=1e-5)
    assert (cities.sum(axis=1) == 1).all()


def test_csv_statistics_come_from_the_training_rows_only(tmp_path: Path) -> None:
    rows = [f"{row},{row % 2}" for row in range(40)]
    before = load_csv(tmp_path, "\n".join(["x,y", *rows]))
    _, test = stratified_split(np.arange(40) % 2, 0.25, 0)
    rows[test[0]] = f"1000000,{test[0] % 2}"
    after = CSV(path="u.csv", label_column="y")
    (tmp_path / "u.csv").write_text("\n".join(["x,y", *rows]))
    changed = after.load(tmp_path)
    np.testing.assert_array_equal(changed.train_x, before.train_x)
    assert changed.test_x[0, 0] > 1000
    assert np.array_equal(changed.test_x[1:], before.test_x[1:])


def test_a_missing_number_becomes_the_training_median(tmp_path: Path) -> None:
    rows = [f"{'NA' if row == 3 else row * row},{row % 2}" for row in range(20)]
    data = load_csv(tmp_path, "\n".join(["x,y", *rows]))
    train, test = stratified_split(np.arange(20) % 2, 0.25, 0)
    raw = np.arange(20.0) ** 2
    raw[3] = np.median(raw[[row for row in train if row != 3]])
    expected = (raw - raw[train].mean()) / raw[train].std()
    np.testing.assert_allclose(data.train_x[:, 0], expected[train], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data.test_x[:, 0], expected[test], rtol=1e-5, atol=1e-6)


def test_a_category_that_only_the_test_rows_have_is_all_zeros(tmp_path: Path) -> None:
    _, test = stratified_split(np.arange(20) % 2, 0.25, 0)
    rows = [f"{'new' if row == test[2] else 'ab'[row // 2 % 2]},{row % 2}" for row in range(20)]
    data = load_csv(tmp_path, "\n".join(["x,y", *rows]))
    assert data.input_shape == (2,)
    assert data.test_x.sum(axis=1).tolist() == [1, 1, 0, 1, 1]


def test_numeric_labels_are_ordered_as_numbers_and_other_delimiters_work(tmp_path: Path) -> None:
    rows = [f"{row};{[10, 9, 2][row % 3]}" for row in range(12)]
    data = load_csv(tmp_path, "\ufeff" + "\n".join(["x;y", *rows]), delimiter=";")
    assert data.classes == ("2", "9", "10")


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e200, 1e300])
def test_columns_of_any_scale_are_standardised(tmp_path: Path, scale: float) -> None:
    rows = [f"{row * scale!r},{row % 2}" for row in range(20)]
    data = load_csv(tmp_path, "\n".join(["x,y", *rows]))
    assert data.train_x.std() == pytest.approx(1, abs=1e-5)


PLAIN = "".join(f"{row},{row % 2}\n" for row in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: .*header"),
        ("\n", "line 1: .*header"),
        ("x,,y\n1,2,3\n", "1 without a name"),
        ("x,y\n", "rows below its header"),
        ("x,z\n" + PLAIN, "no column `y`"),
        ("x,y\n" + PLAIN + "1,2,3\n", "line 22: there should be 2 cells. Found 3"),
        ("x,y\n" + PLAIN + "1,\n", "column `y`, line 22: the label is missing"),
        ("x,y\n" + PLAIN + "inf,1\n", "column `x`, line 22: 'inf' should be a finite number"),
        ("x,y\n" + PLAIN + "1e999,1\n", "column `x`, line 22: '1e999' should be a finite number"),
        ("x,y\n1,a\n2,a\n", "2 to 1000 distinct labels. Found 1"),
        ("x,y\n" + "".join(f"1,{row}\n" for row in range(1001)), "Found 1001"),
        ("x,y\n1,a\n2,b\n", "identifier"),
        ("x,y\n" + "".join(f"5,{row % 2}\n" for row in range(9)), "no feature left"),
        ("y\n0\n1\n0\n1\n", "no feature left"),
        ("x,y\n" + "".join(f"?,{row % 2}\n" for row in range(9)), "no feature left"),
        ('x,y\n"1,0\n', "cannot be read as CSV"),
        ("x,y\n" + "a" * 200_000 + ",1\n", "cannot be read as CSV"),
        (b"x,y\n\xff\xfe,1\n", "UTF-8"),
    ],
)
def test_malformed_csv_files_are_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_csv(tmp_path, text)


def test_one_bad_cell_in_a_column_of_numbers_is_found(tmp_path: Path) -> None:
    text = "x,y\n" + "".join(f"{row},{row % 2}\n" for row in range(80)).replace("33,1", "3e3e,1")
    with pytest.raises(DataError, match=r"80 distinct values.*79 of 80 cells are numbers.*'3e3e' \(line 35\)"):
        load_csv(tmp_path, text)


def test_a_test_value_too_far_for_float32_is_named(tmp_path: Path) -> None:
    _, test = stratified_split(np.arange(20) % 2, 0.25, 0)
    rows = [f"{1e300 if row == test[0] else row},{row % 2}" for row in range(20)]
    with pytest.raises(DataError, match=f"line {test[0] + 2}: '1e\\+300' is too far"):
        load_csv(tmp_path, "\n".join(["x,y", *rows]))


@pytest.mark.parametrize("path", ["../t.csv", "/etc/passwd", "a/../../t.csv"])
def test_a_csv_path_stays_in_the_root(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="inside"):
        CSV(path=path, label_column="y").load(tmp_path)


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", " "])
def test_a_delimiter_is_one_character(delimiter: str) -> None:
    with pytest.raises(ParameterError, match="delimiter"):
        CSV(path="t.csv", label_column="y", delimiter=delimiter)
