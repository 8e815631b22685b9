"""Comparison with other libraries: what is imported, turns, ratios, and the page; small rules stand for peers."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.defenses import Median
from tests.benchmarks import references
from tests.benchmarks.grid import Cell
from tests.benchmarks.peers import libraries, worlds
from tests.benchmarks.peers.__main__ import main
from tests.benchmarks.peers.libraries import Found, Library, find
from tests.benchmarks.peers.measuring import SIZES, matrix, rule
from tests.benchmarks.peers.page import draw, markdown
from tests.benchmarks.peers.results import Beside, Compared, Run
from tests.benchmarks.peers.rules import SHARED, Peer, Shared
from tests.benchmarks.peers.turns import Times, play_rounds, take_turns
from tests.benchmarks.subjects import Subject


def installed(folder: Path, name: str, entrance: str) -> None:
    """A package with a submodule that works, whatever its own `__init__` does."""
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(entrance)
    (folder / name / "part.py").write_text("VALUE = 3\n")
    (folder / f"{name}-1.5.dist-info").mkdir()
    (folder / f"{name}-1.5.dist-info" / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.5\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    return tmp_path


def test_a_library_that_cannot_be_imported_is_told_with_its_reason(folder: Path) -> None:
    installed(folder, "peer_that_breaks", "raise RuntimeError('operator nms\\n does not exist')\n")
    found = find(Library("peer_that_breaks", ("peer_that_breaks.part",)))
    assert found.version == "1.5"
    assert found.missing == "its import fails with RuntimeError: operator nms does not exist"
    assert find(Library("peer_that_is_not_there", ())).missing == "it is not installed"


def test_submodules_are_reached_without_the_entrance(folder: Path) -> None:
    installed(folder, "peer_with_a_runner", "raise RuntimeError('needs torchvision')\n")
    found = find(Library("peer_with_a_runner", ("peer_with_a_runner.part",), "alone", own_entrance=False))
    assert found == Found("peer_with_a_runner", "1.5", "alone")
    assert sys.modules["peer_with_a_runner.part"].VALUE == 3


def test_the_speeds_of_rules_reach_byzfl_by_the_same_entrance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(folder, "byzfl", "raise RuntimeError('needs torchvision')\n")
    for module in references.BYZFL_LIBRARY.modules:
        (folder / "byzfl" / f"{module.rpartition('.')[2]}.py").touch()
    (folder / "byzfl" / "aggregators.py").write_text("def Median():\n    return lambda rows: rows.median(0).values\n")
    monkeypatch.setattr(references, "byzfl_rules", references.byzfl_rules.__wrapped__)
    theirs = references.peers(Subject(Median), Cell(5, 3))["byzfl"]
    rows = np.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(theirs(rows, 1), rows[2])
    (folder / "byzfl" / "attacks.py").write_text("raise RuntimeError('no operator nms')\n")
    del sys.modules["byzfl.attacks"]
    with pytest.raises(ImportError, match=r"byzfl 1\.5 takes no part: .*no operator nms"):
        references.byzfl_rules()


def test_everybody_has_as_many_turns_in_the_same_order() -> None:
    order: list[str] = []
    calls = {name: partial(order.append, name) for name in ("a", "b")}
    found = play_rounds(calls, {"a": 2, "b": 1}, 3)
    assert order == ["a", "a", "b"] * 3
    assert [times.rounds for times in found.values()] == [3, 3]
    assert all(0 <= times.least <= times.middle for times in take_turns(calls, 0.0).values())


def standing_for(answer: Callable[[Any], Any], differs: str = "") -> Peer:
    return Peer(lambda rows, f: lambda: answer(rows), differs)


def compared() -> Compared:
    """A median beside four that stand for libraries: the same, another one, another definition, and one that fails."""

    def fails(rows: Any) -> Any:
        raise ValueError("no | rows")

    peers = {
        "byzfl": standing_for(lambda rows: np.median(rows.numpy(), axis=0)),
        "byzpy": standing_for(lambda rows: np.median(rows.numpy(), axis=0) + 0.1),
        "torchjd": standing_for(lambda rows: rows.sort(dim=0).values[4], "takes the lower one"),
        "flwr": standing_for(fails),
    }
    cell = Cell(10, 100)
    return rule(Shared("Median", lambda n, f: Median(), peers), cell, matrix(cell), list(peers), 0.0)


def test_answers_are_compared_where_definitions_are_equal() -> None:
    row = compared()
    assert (row.what, row.size) == ("Median", "n=10, d=100")
    assert row.others["byzfl"].deviation == pytest.approx(0.0, abs=1e-6)
    assert row.others["byzpy"].deviation is not None
    assert row.others["byzpy"].deviation > 1e-3
    assert row.others["torchjd"].deviation is None
    assert row.others["flwr"].failed == "ValueError: no | rows"
    assert row.ratio("flwr") is None
    ratio, times = row.ratio("byzfl"), row.others["byzfl"].times
    assert times is not None
    assert ratio == times.middle / row.ours.middle


def made_up() -> Run:
    libraries = [
        Found("byzfl", "0.0.11", "alone"),
        Found("byzpy", "0.1.4", ""),
        Found("pfl", "", "", "it is not there"),
    ]
    ours, slow, quick = Times(0.9e-3, 1e-3, 3), Times(2e-3, 4e-3, 3), Times(0.1e-3, 0.25e-3, 3)
    rules = [
        Compared("Mean", "n=10, d=1,000", ours, {"byzfl": Beside(slow, deviation=0.0)}),
        Compared("CAF", "n=10, d=1,000", ours, {"byzfl": Beside(quick, "is random"), "byzpy": Beside(slow, "", 0.5)}),
        Compared("Krum", "n=15, d=2,000", ours, {"byzpy": Beside(failed="TypeError: a | b")}),
    ]
    cell = Compared("a cell", "5 rounds", ours, {"byzfl": Beside(slow, "draws other batches")}, "accuracy: 0.5")
    return Run("small", {"processor": "some"}, libraries, rules, [cell])


def test_the_page_tells_wins_losses_and_differences(tmp_path: Path) -> None:
    run = made_up()
    page = markdown(run)
    assert "| Mean | 1 ms | 4 (2.22) | – |" in page
    assert "| CAF | 1 ms | **0.25** (0.111) * | 4 (2.22) |" in page
    assert "| Krum | 1 ms | fails |" in page
    assert "| byzfl | 3 | 2 | 1 | 0.25 | CAF, n=10, d=1,000 |" in page
    assert "| pfl | – | takes no part: it is not there |" in page
    assert "- \\* CAF: byzfl is random." in page
    assert "- Krum, n=15, d=2,000: byzpy fails with TypeError: a \\| b" in page
    assert "- 1 of 2 pairs of answers of one definition are equal" in page
    assert "- Not equal: CAF, n=10, d=1,000, byzpy: 0.5 of the largest value." in page
    assert "- a cell: accuracy: 0.5." in page
    assert [(row.what, name) for row, name, _ in run.unequal()] == [("CAF", "byzpy")]
    run.write(tmp_path / "peers.json")
    assert Run.read(tmp_path / "peers.json") == run


def test_nan_is_not_equal() -> None:
    peers = {
        "byzfl": standing_for(lambda rows: rows[0] * float("nan")),
        "byzpy": standing_for(lambda rows: rows[0][:3]),
    }
    cell = Cell(10, 100)
    row = rule(Shared("Median", lambda n, f: Median(), peers), cell, matrix(cell), list(peers), 0.0)
    assert len(Run("check", {}, [], [row]).unequal()) == 2


def test_the_plot_has_a_panel_for_each_size(tmp_path: Path) -> None:
    run = made_up()
    draw(run, tmp_path / "peers.svg")
    text = "".join(ElementTree.parse(tmp_path / "peers.svg").getroot().itertext())
    assert all(word in text for word in ("n=10, d=1,000", "n=15, d=2,000", "CAF", "byzfl", "byzpy"))
    run.rules.clear()
    with pytest.raises(ValueError, match="needs another library"):
        draw(run, tmp_path / "none.svg")


def test_a_run_without_libraries_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(libraries, "LIBRARIES", (Library("peer_that_is_not_there", ()),))
    assert main(["--sizes", "check", "--out", str(tmp_path)]) == 2
    assert "`make bench-peers` installs them" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_our_side_of_every_rule_and_world_runs() -> None:
    cell = Cell(10, 50)
    rows = matrix(cell)
    for shared in SHARED:
        assert bool(torch.isfinite(shared.make(cell.n, cell.f)(rows)).all()), shared.label
    for world in (worlds.ROUND.short, worlds.CELL.short):
        assert 0.0 <= worlds.play_ours(world, worlds.population(world)) <= 1.0
    assert {"check", "small", "full"} == set(SIZES)
