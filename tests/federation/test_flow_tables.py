"""Tables of network flows as they are published, with their warts; the rows are made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from robustfl.errors import DataError, ParameterError
from robustfl.evaluation.doctor import dataset_facts
from robustfl.federation.data.data_sets import CSV
from robustfl.federation.data.dataset import Dataset
from robustfl.federation.data.files import ROOT_VARIABLE
from robustfl.federation.data.partitions import ByClient, Given


@pytest.fixture(autouse=True)
def _no_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


def load(root: Path, content: str | bytes, **parameters: Any) -> Dataset:
    (root / "flows.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return CSV(**{"path": "flows.csv", "label_column": "Label", **parameters}).load(root)


def everything(data: Dataset) -> npt.NDArray[np.float32]:
    return np.concatenate([data.train_x, data.test_x])


def cicids(rows: int = 60) -> bytes:
    """Like CICIDS2017: spaces in names, a column twice, infinite rates, and labels that are no UTF-8."""
    head = " Destination Port, Flow Duration,Flow Bytes/s, Fwd Header Length, Fwd Header Length,Source IP, Label"
    lines = [head]
    for row in range(rows):
        rate = ["Infinity", "NaN", f"{row * 12.5}"][min(row % 10, 2)]
        label = "BENIGN" if row % 2 else "Web Attack \u2013 XSS"
        lines.append(f"{row % 7},{row * row},{rate},{20 + row % 3},{20 + row % 3},10.0.0.{row % 3},{label}")
    return "\r\n".join(lines).encode("cp1252")


CICIDS = {"encoding": "cp1252", "infinite": "missing", "ignore": ["Fwd Header Length.1"]}


def test_cicids2017(tmp_path: Path) -> None:
    data = load(tmp_path, cicids(), client_column=" Source IP", **CICIDS)
    assert data.classes == ("BENIGN", "Web Attack \u2013 XSS")
    assert data.input_shape == (4,)  # port, duration, rate, header length; neither the copy nor the client
    assert data.owners == ("10.0.0.0", "10.0.0.1", "10.0.0.2")
    assert "Column `Flow Bytes/s`: 12 cells were taken for missing: 'Infinity' (6), 'NaN' (6)." in data.notes
    assert any("`Fwd Header Length.1`" in note for note in data.notes)
    given = Given(labels=data.train_y, features=data.train_x, owners=data.train_owners, names=data.owners)
    parts = ByClient().split(given, 3, np.random.default_rng(0))
    assert data.train_owners is not None
    assert [set(data.train_owners[part]) for part in parts] == [{0}, {1}, {2}]


def test_a_copied_column_is_a_feature_unless_it_is_ignored(tmp_path: Path) -> None:
    data = load(tmp_path, cicids(), **{**CICIDS, "ignore": ["Source IP"]})
    assert data.input_shape == (5,)
    np.testing.assert_array_equal(data.train_x[:, 3], data.train_x[:, 4])


def test_letters_that_are_no_utf_8_are_an_error_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"should be UTF-8.*Say `encoding: cp1252`"):
        load(tmp_path, cicids())


def test_a_file_in_utf_16_is_not_taken_for_western_letters(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"should be UTF-8.*It begins as UTF-16 does: save it again as UTF-8\.") as told:
        load(tmp_path, "x,y\n1,a\n".encode("utf-16"), label_column="y")
    assert "cp1252" not in str(told.value)


@pytest.mark.parametrize(("words", "told"), [(1, True), (19, True), (20, False), (39, False)])
def test_words_among_numbers_that_make_categories_of_them_are_told(tmp_path: Path, words: int, told: bool) -> None:
    cells = [f"{row % 7}" for row in range(40 - words)] + ["foo"] * words
    rows = "".join(f"{cell},{'ab'[row % 2]}\n" for row, cell in enumerate(cells))
    data = load(tmp_path, f"x,y\n{rows}", label_column="y")
    note = f"Column `x`: {40 - words} of 40 cells are numbers, and 'foo' (line {42 - words}) is none"
    assert [note in found for found in data.notes] == ([True] if told else [])


def test_infinite_numbers(tmp_path: Path) -> None:
    rows = "".join(
        f"{cell},{number % 2}\n" for number, cell in enumerate([*range(1, 37), "inf", "-Infinity", "1e999", "inf"])
    )
    table = "x,Label\n" + rows
    with pytest.raises(
        DataError, match=r"column `x`, line 38: 'inf' should be a finite number. Say `infinite: missing`"
    ):
        load(tmp_path, table)
    missing, clipped = load(tmp_path, table, infinite="missing"), load(tmp_path, table, infinite="clip")
    for data, what in ((missing, "taken for missing"), (clipped, "clipped")):
        assert data.notes == (f"Column `x`: 4 cells were {what}: 'inf' (2), '-Infinity' (1), '1e999' (1).",)
    values = np.sort(everything(clipped)[:, 0])
    top, low = clipped.train_x.max(), clipped.train_x.min()
    assert (np.isclose(values, top).sum(), np.isclose(values, low).sum()) >= (4, 2)
    assert np.isfinite(everything(missing)).all()


def unsw(rows: int = 60, service: str = "-") -> str:
    """Like UNSW-NB15: no header, `-` for no service and for no count, and a second label."""
    kinds = ["", "Exploits"]
    return "".join(
        f"59.166.0.{row % 4},{1000 + 7 * row},{['tcp', 'udp'][row % 3 % 2]},{[service, 'dns', 'http'][row % 3]},"
        f"{'-' if row % 5 == 0 else row * 0.25},{kinds[row % 2]},{row % 2}\n"
        for row in range(rows)
    )


UNSW = {"header": ["srcip", "sport", "proto", "service", "ct_flw", "attack_cat", "Label"]}


def test_unsw_nb15(tmp_path: Path) -> None:
    data = load(tmp_path, unsw(), ignore=["attack_cat"], client_column="srcip", **UNSW)
    assert data.classes == ("0", "1")
    assert data.input_shape == (1 + 2 + 3 + 1,)  # port, two protocols, three services (one is `-`), count
    assert data.notes == ("Column `ct_flw`: 12 cells were taken for missing: '-' (12).",)
    assert len(data.owners) == 4


def test_the_second_label_alone_would_tell_the_first(tmp_path: Path) -> None:
    assert load(tmp_path, unsw(), ignore=["srcip"], **UNSW).input_shape == (7 + 2,)


def nsl_kdd(rows: int, kinds: tuple[str, ...]) -> str:
    """Like NSL-KDD: no header, the label before the last column, which says how difficult the row is."""
    return "".join(
        f"{row % 11},{['tcp', 'udp', 'icmp'][row % 3]},{['http', 'ftp'][row % 2]},{row * 31 % 17},0,"
        f"{kinds[row % len(kinds)]},{21 - row % 4}\n"
        for row in range(rows)
    )


NSL = {"path": "KDDTrain+.txt", "test_path": "KDDTest+.txt", "label_column": "6", "header": "none", "ignore": ["7"]}


def nsl_files(root: Path, test_kinds: tuple[str, ...]) -> None:
    (root / "KDDTrain+.txt").write_text(nsl_kdd(40, ("normal", "neptune")))
    (root / "KDDTest+.txt").write_text(nsl_kdd(12, test_kinds))


def test_nsl_kdd(tmp_path: Path) -> None:
    nsl_files(tmp_path, ("neptune", "normal"))
    data = CSV(**NSL).load(tmp_path)
    assert (len(data.train_x), len(data.test_x)) == (40, 12)
    assert data.classes == ("neptune", "normal")
    assert data.test_y.tolist() == [0, 1] * 6
    assert data.input_shape == (1 + 3 + 2 + 1,)  # the column of zeros is constant
    assert data.train_x[:, 0].mean() == pytest.approx(0, abs=1e-6)  # by the statistics of the training file alone


def test_classes_that_only_the_test_file_has(tmp_path: Path) -> None:
    nsl_files(tmp_path, ("neptune", "mscan", "normal", "apache2"))
    with pytest.raises(DataError, match=r"KDDTest.*line 2: .*6 of 12 are not: apache2, mscan. Say `unseen: drop`"):
        CSV(**NSL).load(tmp_path)
    data = CSV(**NSL, unseen="drop").load(tmp_path)
    assert (data.classes, data.test_y.tolist()) == (("neptune", "normal"), [0, 1] * 3)
    assert data.notes == ("6 of 12 test rows were left out; training lacks their classes: apache2, mscan.",)
    nsl_files(tmp_path, ("mscan",))
    with pytest.raises(DataError, match="Found none"):
        CSV(**NSL, unseen="drop", split_seed=1).load(tmp_path)


@pytest.mark.parametrize("make", [lambda: unsw(), lambda: nsl_kdd(40, ("normal", "neptune"))], ids=["unsw", "nsl"])
def test_a_file_without_a_header_is_noticed(tmp_path: Path, make: Any) -> None:
    with pytest.raises(DataError, match=r"line 1: it looks like data, no header.*`header: none`"):
        load(tmp_path, make())


@pytest.mark.parametrize("names", ["0,1,2,Label", "5,6,7,Label", "2019,2020,2021,Label", "1,x,y,Label"])
def test_names_that_are_numbers_are_names(tmp_path: Path, names: str) -> None:
    rows = "".join(f"{row},{row * row},{row % 3},{row % 2}\n" for row in range(20))
    assert load(tmp_path, f"{names}\n{rows}").input_shape == (3,)


def test_test_columns_may_be_in_another_order_but_not_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,w,Label\n" + "".join(f"{row},{-row},{row % 2}\n" for row in range(20)))
    (tmp_path / "b.csv").write_text("Label,w,x\n0,-4,4\n1,-5,5\n")
    data = CSV(path="a.csv", test_path="b.csv", label_column="Label").load(tmp_path)
    np.testing.assert_array_equal(data.test_x, data.train_x[[4, 5]])
    (tmp_path / "c.csv").write_text("Label,x,weight\n0,4,4\n")
    with pytest.raises(DataError, match="It lacks `w`"):
        CSV(path="a.csv", test_path="c.csv", label_column="Label").load(tmp_path)


@pytest.mark.parametrize("hole", ["-", "--", "None", "#N/A", "<NA>", "NaT", "", "?", " na ", "NULL"])
def test_holes_in_a_column_of_numbers(tmp_path: Path, hole: str) -> None:
    rows = "".join(f"{hole if row % 10 == 0 else row * 0.5},{'AB'[row % 2]}\n" for row in range(50))
    data = load(tmp_path, f"x,Label\n{rows}")
    assert data.input_shape == (1,)
    assert data.notes == (f"Column `x`: 5 cells were taken for missing: {hole.strip()!r} (5).",)


def test_the_same_cells_are_categories_among_words(tmp_path: Path) -> None:
    rows = "".join(f"{['-', 'None', 'dns'][row % 3]},{row % 2}\n" for row in range(30))
    assert load(tmp_path, f"service,Label\n{rows}").input_shape == (3,)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["0", "0.0", "1", "1.00"], ("0", "1")),
        (["1e1", "10", "2"], ("2", "10")),
        (["9007199254740992", "9007199254740993"], ("9007199254740992", "9007199254740993")),
        (["0", "0.0", "scan"], ("0", "scan")),
        (["-", "scan"], ("-", "scan")),
    ],
)
def test_labels_that_are_equal_numbers_are_one_class(
    tmp_path: Path, labels: list[str], classes: tuple[str, ...]
) -> None:
    rows = "".join(f"{row},{labels[row % len(labels)]}\n" for row in range(24))
    assert load(tmp_path, f"x,Label\n{rows}").classes == classes


def test_long_files_are_read_in_pieces(tmp_path: Path) -> None:
    rows = [f"{row},{'-' if row == 9000 else row % 3},{row % 2}" for row in range(20_000)]
    data = load(tmp_path, "\n".join(["x,z,Label", *rows]))
    assert (data.input_shape, len(data.train_x)) == ((2,), 15_000)
    assert data.notes == ("Column `z`: 1 cells were taken for missing: '-' (1).",)
    rows[17_000] = "1,2"
    with pytest.raises(DataError, match=r"line 17002: there should be 3 cells\. Found 2"):
        load(tmp_path, "\n".join(["x,z,Label", *rows]), split_seed=1)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"client_column": "Label"}, "'Label' more than once"),
        ({"ignore": [" Label "]}, "'Label' more than once"),
        ({"header": ["a", "a"]}, "distinct names"),
        ({"header": []}, "distinct names"),
    ],
)
def test_columns_that_contradict_each_other(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        CSV(**{"path": "t.csv", "label_column": "Label", **parameters})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ignore": ["z"]}, "no column `z` for the ignored column"),
        ({"client_column": "who"}, "no column `who` for the client"),
        ({"header": ["x", "y", "Label"]}, "the names of `header` are in the file"),
        ({"header": ["x", "Label"]}, "each of the 2 names in `header`. Found 3 cells"),
    ],
)
def test_columns_that_the_file_lacks(tmp_path: Path, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, "x,y,Label\n1,2,0\n2,3,1\n", **parameters)


def test_columns_without_a_name_can_be_ignored_and_doubled_labels_cannot_be_chosen(tmp_path: Path) -> None:
    rows = "".join(f"{row},{row},{row % 2}\n" for row in range(20))
    with pytest.raises(DataError, match=r'`ignore: \[""\]`'):
        load(tmp_path, f",x,Label\n{rows}")
    assert load(tmp_path, f",x,Label\n{rows}", ignore=[""]).input_shape == (1,)
    with pytest.raises(DataError, match="should have one column `Label`"):
        load(tmp_path, f"x,Label,Label\n{rows}", split_seed=1)


def test_the_facts_about_a_table_say_what_was_taken_for_missing(tmp_path: Path) -> None:
    (tmp_path / "flows.csv").write_text(unsw())
    spec = {"csv": {"path": "flows.csv", "label_column": "Label", "client_column": "srcip", **UNSW}}
    facts = dataset_facts(json.dumps(spec), tmp_path)
    assert facts["owners"] == [f"59.166.0.{number}" for number in range(4)]
    assert facts["notes"] == ["Column `ct_flw`: 12 cells were taken for missing: '-' (12)."]
