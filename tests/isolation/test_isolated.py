"""A defense in a process of its own: the same answers, and nothing but rows."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from robustfl.attacks import IPM, ReverseRanking, WhiteBox
from robustfl.defenses import FRL, NNM, RFFL, CenteredClipping, FLTrust, FoolsGold, Median, TrimmedMean
from robustfl.errors import InfeasibleError, IsolationError
from robustfl.evaluation.run.executors import one_thread
from robustfl.isolation import IsolatedDefense, isolated
from robustfl.isolation.messages import read, write
from tests.conftest import ROOT, environment
from tests.federation.worlds import SMALL_MLP, simulation, weights
from tests.isolation.rules import Bomb, Doing, Importing

ROWS = np.array([[1.0, 2.0], [2.0, 0.0], [9.0, 1.0]])


@pytest.fixture(scope="module")
def median() -> Iterator[IsolatedDefense]:
    with isolated(Median()) as rule:
        yield rule


@pytest.fixture(scope="module")
def doing() -> Iterator[IsolatedDefense]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("NOTED_BY_A_DEFENSE", "1")
        with isolated(Doing()) as rule:
            yield rule


def answered(rule: IsolatedDefense, what: str) -> Any:
    return rule.aggregate(ROWS, ids=[what, "b", "c"])


def test_attributes_texts_and_answers_are_those_of_the_defense(median: IsolatedDefense) -> None:
    assert (repr(median), str(median)) == ("Median()", "Median")
    assert (median.stateful, median.channel, median.unclaimed, median.byzantine) == (False, "dense", frozenset(), None)
    assert len(median.stages) == 1
    assert median.infeasible(0) == Median().infeasible(0)
    assert not hasattr(median, "nonsense")
    for rows in (ROWS, torch.tensor(ROWS, dtype=torch.float32)):
        answer, expected = median.aggregate(rows, ids=["a", "b", "c"]), Median().aggregate(rows, ids=["a", "b", "c"])
        assert type(answer.value) is type(expected.value)
        assert answer.value.tolist() == expected.value.tolist()
        assert answer.info == expected.info


EDITABLE = """
import importlib.util, sys, types

found = types.ModuleType("__editable___finder")
found.MAPPING = {mapping}
sys.modules[found.__name__] = found

class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in found.MAPPING:
            place = found.MAPPING[name]
            return importlib.util.spec_from_file_location(
                name, place + "/__init__.py", submodule_search_locations=[place]
            )

sys.meta_path.insert(0, Finder)
"""


def test_packages_that_are_installed_to_be_edited_are_found_and_not_what_lies_beside_them(tmp_path: Path) -> None:
    """Setuptools then puts their places into a finder, and not into the path."""
    plugin, beside, site = tmp_path / "work" / "plugin", tmp_path / "work" / "plugin_not", tmp_path / "site"
    for folder in (plugin, beside, site):
        folder.mkdir(parents=True)
    rule = "class Third(Median):\n    def _aggregate(self, rows):\n        {}return super()._aggregate(rows)\n"
    (plugin / "__init__.py").write_text("from robustfl.defenses import Median\n" + rule.format(""))
    (plugin / "reader.py").write_text(
        "from robustfl.defenses import Median\n" + rule.format(f"open({str(beside / 'memory.py')!r})\n        ")
    )
    (beside / "memory.py").write_text("KNOWN = 1\n")
    mapping = {"robustfl": str(ROOT / "robustfl"), "plugin": str(plugin)}
    (site / "sitecustomize.py").write_text(EDITABLE.format(mapping=mapping))
    code = (
        "import sys, plugin, plugin.reader, robustfl\nfrom robustfl.isolation import isolated\n"
        f"assert robustfl.__file__.startswith({str(ROOT)!r}) and {str(ROOT)!r} not in sys.path\n"
        "for rule in (plugin.Third(), plugin.reader.Third()):\n    with isolated(rule) as other:\n        try:\n"
        "            print(other.aggregate([[1.0], [2.0], [9.0]]).value)\n"
        "        except Exception as error:\n            print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**environment(), "PYTHONPATH": str(site)}, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    first, second = done.stdout.splitlines() or ["", done.stderr]
    assert first == "[2.]", done.stderr
    assert "may not do this: reads" in second
    assert "memory.py" in second


@pytest.mark.parametrize(
    ("defense", "attack"),
    [
        (NNM(f=2) >> TrimmedMean(f=2), WhiteBox(candidates=5)),
        (CenteredClipping(), IPM()),
        (FLTrust(), IPM()),
        (RFFL(), None),
        (FRL(), ReverseRanking()),
    ],
    ids=str,
)
def test_a_simulation_has_the_same_bits_with_the_defense_elsewhere(defense: Any, attack: Any) -> None:
    values: dict[str, Any] = {"model": SMALL_MLP, "clients": 10, "rounds": 5, "attack": attack, "f": 2 if attack else 0}
    with one_thread():
        here = simulation(defense, **values)
        expected = here.run()
        defense.reset()
        with isolated(defense) as rule:
            there = simulation(rule, **values)
            found = there.run()
    assert torch.equal(weights(there), weights(here))
    assert (found.accuracy, found.more, found.malicious_share) == (
        expected.accuracy,
        expected.more,
        expected.malicious_share,
    )


def test_only_questions_that_count_are_remembered() -> None:
    rule = FoolsGold()
    with isolated(FoolsGold()) as other:
        for number in range(3):
            other.preview(ROWS[::-1] * number, ids=[1, 2, 3])
            found, expected = (one.aggregate(ROWS + number, ids=[1, 2, 3]) for one in (other, rule))
            np.testing.assert_array_equal(found.value, expected.value)
        other.preview(ROWS[::-1], ids=[1, 2, 3])
        assert other.state_dict().keys() == rule.state_dict().keys()
        saved, mine = other.state_dict(), rule.state_dict()
        np.testing.assert_array_equal(saved["history"][2], mine["history"][2])


def test_there_is_nothing_of_the_simulation_in_the_other_process(doing: IsolatedDefense) -> None:
    seen = answered(doing, "looks around").info
    assert seen["kinds"] == []
    assert seen["modules"] == []
    assert not any("federation" in frame or "pytest" in frame for frame in seen["frames"])
    assert "NOTED_BY_A_DEFENSE" not in seen["environment"]
    assert seen["environment"]["HOME"] == seen["folder"]
    assert Path(seen["folder"]).exists()


@pytest.mark.parametrize("what", ["writes", "reads data", "lists", "starts a process", "talks", "maps memory"])
def test_what_could_bring_in_or_take_out_more_than_rows_is_refused(doing: IsolatedDefense, what: str) -> None:
    with pytest.raises(IsolationError, match="may not do this"):
        answered(doing, what)


def test_libraries_are_not_loaded_and_files_in_its_own_folder_are_allowed(doing: IsolatedDefense) -> None:
    with pytest.raises(IsolationError, match="loads the library"):
        answered(doing, "loads a library")
    assert answered(doing, "writes at home").info["said"] == "1"


def test_files_that_were_changed_since_the_run_began_are_not_read(tmp_path: Path, monkeypatch: Any) -> None:
    began = time.time()
    (tmp_path / "noted_memory.py").write_text("KNOWN = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with isolated(Importing(module="noted_memory"), since=time.time() + 60) as rule:
        assert rule.aggregate(ROWS).info == {**rule.preview(ROWS).info, "known": 1}
    with (
        isolated(Importing(module="noted_memory"), since=began) as rule,
        pytest.raises(IsolationError, match="which is new"),
    ):
        rule.aggregate(ROWS)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("fails", "ZeroDivisionError"),
        ("exits", "SystemExit: 3"),
        ("sends code", "should hold numbers, texts, arrays .* Found posix.system"),
    ],
)
def test_what_goes_wrong_is_an_error_with_its_reason(doing: IsolatedDefense, what: str, message: str) -> None:
    with pytest.raises(IsolationError, match=message):
        answered(doing, what)


def test_a_process_that_is_killed_is_an_error_and_its_folder_is_removed() -> None:
    with isolated(Doing()) as rule:
        folder = Path(answered(rule, "looks around").info["folder"])
        for _ in range(2):
            with pytest.raises(IsolationError, match="was ended by SIGKILL before it had answered"):
                answered(rule, "is killed")
    assert not folder.exists()


def test_errors_of_the_library_keep_their_type(median: IsolatedDefense) -> None:
    with pytest.raises(InfeasibleError, match="Found n=0") as caught:
        median.aggregate(np.full((2, 2), np.nan))
    assert caught.value.rejected == 2
    assert median.aggregate(ROWS).value.tolist() == [2.0, 1.0]


def test_a_defense_that_cannot_be_sent_is_refused() -> None:
    class Local(Median):
        name: ClassVar[str] = "local"

    with pytest.raises(IsolationError, match=r"cannot be sent to a process of its own: .* at the top of a module"):
        isolated(Local()).__enter__()


def test_messages_are_read_as_data(tmp_path: Path) -> None:
    values = {"array": np.arange(3.0), "nested": [(1, "a", None, {True, 2.5})], "scalar": np.float64(2.0)}
    with (tmp_path / "message").open("wb") as sink:
        write(sink, values)
        write(sink, Bomb())
    with (tmp_path / "message").open("rb") as source:
        found = read(source, as_data=True)
        assert found["nested"] == values["nested"]
        np.testing.assert_array_equal(found["array"], values["array"])
        with pytest.raises(IsolationError):
            read(source, as_data=True)
