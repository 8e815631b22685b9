"""Figures for papers: what they show comes from the results, and equal results give equal bytes."""

from __future__ import annotations

import builtins
from typing import Any
from xml.etree import ElementTree

import pytest

from robustfl.errors import MissingExtraError
from robustfl.evaluation.results.reporting import RunResults
from robustfl.reports import Figures
from robustfl.reports.figures import _mean_curve, _plain
from robustfl.reports.sections.content import Run
from tests.reports.hostile import hostile
from tests.reports.synthetic import run

SMALL = run(worlds=("w",), defenses=3, attacks=3, f_grid=(0, 1, 3))


@pytest.fixture(scope="module")
def drawn() -> dict[str, Any]:
    return dict(Figures().files(SMALL))


def test_every_figure_is_there_in_both_forms(drawn: dict[str, Any]) -> None:
    names = {"accuracy", "breakdown", "heat_map", "pareto"}
    assert set(drawn) == {f"{name}.{form}" for name in names for form in ("svg", "pdf")}
    for name, data in drawn.items():
        if name.endswith(".svg"):
            assert ElementTree.fromstring(data).tag.endswith("svg")
        else:
            assert data.startswith(b"%PDF-")


def test_equal_results_give_equal_bytes_and_no_dates(drawn: dict[str, Any]) -> None:
    assert Figures().files(run(worlds=("w",), defenses=3, attacks=3, f_grid=(0, 1, 3))) == drawn
    assert all(b"CreationDate" not in data for data in drawn.values() if isinstance(data, bytes))
    assert all("dc:date" not in data for data in drawn.values() if isinstance(data, str))


def test_two_points_are_no_curve_and_worlds_are_numbered() -> None:
    files = Figures().files(run(worlds=("w", "v"), defenses=2, attacks=2, f_grid=(0, 3)))
    names = {name.removesuffix(".svg") for name in files if name.endswith(".svg")}
    assert names == {"accuracy_1", "accuracy_2", "heat_map_1", "heat_map_2", "pareto"}


def test_curves_are_means_over_the_seeds_under_the_worst_attack() -> None:
    world = Run(results=SMALL).worlds[0]
    own = next(found for found in world.defenses if found["defense"] == "Mean")
    point = own["curve"][-1]
    records = [world.run.records[trial] for trial in point["attacks"][point["worst_attack"]]["trials"]]
    known = [dict(map(tuple, record["metrics"]["accuracy"])) for record in records]
    curve = _mean_curve(own, world, "plain_accuracy")
    assert len(curve) > 2
    for t, value in curve:
        assert value == pytest.approx(sum(own[t] for own in known) / len(known))


def test_labels_are_no_mathematics() -> None:
    assert _plain("$x$ \x00") == r"\$x\$ ?"
    figures = Figures().files(hostile("$\\frac{1}$"))
    assert all(ElementTree.fromstring(data) is not None for data in figures.values() if isinstance(data, str))


def test_without_records_there_are_no_curves_of_training() -> None:
    files = Figures().files(RunResults(summary=SMALL.summary, records=()))
    assert {name.split(".")[0] for name in files} == {"breakdown", "heat_map"}


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError("No module named 'matplotlib'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(MissingExtraError, match=r"pip install 'robustfl\[figures\]'"):
        Figures().files(SMALL)
