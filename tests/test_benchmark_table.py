"""The arithmetic, the verdicts, the tables and the plot of the benchmark of the aggregators, on made-up results."""

from __future__ import annotations

import math
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typing_extensions import Doc

from robustfl import registry
from robustfl.aggregation import Aggregator, CoordinateWise, PreAggregation
from robustfl.aggregation.kernels.base import Array, Kernels
from robustfl.defenses import NNM, Krum, Mean, Median, TrimmedMean
from tests.benchmarks.grid import GRIDS, LARGEST_INPUT, Cell, grid
from tests.benchmarks.memory import extra_memory
from tests.benchmarks.references import PEERS, bounds, peers
from tests.benchmarks.results import Mapped, Measurement, Roofs, Run
from tests.benchmarks.roofline import attained, comparisons, draw, intensity, plotted, spread, work
from tests.benchmarks.subjects import GEOMETRY, NotMeasurable, Subject, call, subjects
from tests.benchmarks.table import markdown, sections, show
from tests.benchmarks.targets import MEMORY, TARGETS, judge
from tests.benchmarks.timing import TimeLimit, Turns, rounds_for, time_limit

MIDDLE = (100, 1_000_000)


def measured(rule: str, family: str, seconds: float, at: tuple[int, int] = MIDDLE, **more: object) -> Measurement:
    label = registry.get("defense", rule).__name__
    facts = {"rule": rule, "label": label, "family": family, "n": at[0], "d": at[1], "seconds": seconds, **more}
    return Measurement(**facts)  # type: ignore[arg-type]


def sample() -> Run:
    """A run with a rule of each family that met its targets, one that did not, and one that was left out."""
    references = {"column mean": 0.02, "np.median": 1.0, "np.sort": 0.2}
    gram = {"column mean": 0.02, "Gram pass": 0.1}
    pairs, order = work(Subject(Krum), *MIDDLE), work(Subject(Median), *MIDDLE)
    both = work(Subject(TrimmedMean, NNM), *MIDDLE)
    assert pairs is not None
    assert order is not None
    assert both is not None
    return Run(
        grid="quick",
        machine={"processor": "a processor, 2 cores"},
        roofs=[Roofs(device="cpu", column_mean=2e10, copy=2.5e10, gemm32=2e11, gemm64=1e11)],
        measurements=[
            measured("median", "column", 0.1, references=references, operations=order[0], traffic=order[1],
                     extra_memory=4_000_000),
            measured("krum", "gram", 0.15, references={**gram, "torch.cdist": 1.2}, operations=pairs[0],
                     traffic=pairs[1], extra_memory=8_000_000),
            measured("geometric_median", "gram", 0.2, references=gram, operations=pairs[0], traffic=pairs[1],
                     extra_memory=80_000_000),
            measured("nnm", "mixed", 0.4, references=gram, operations=both[0], traffic=both[1]),
            Measurement(rule="mda", label="MDA", family="gram", n=100, d=1_000_000, left_out="no end | of the search"),
        ],
        mapped=[Mapped(rule="Krum(f=20)", n=100, d=3_000_000, seconds=2.5, peak_bytes=120_000_000)],
    )  # fmt: skip


def test_ratios() -> None:
    krum = sample().measurements[1]
    assert krum.times("Gram pass") == pytest.approx(1.5)
    assert krum.faster_than("torch.cdist") == pytest.approx(8.0)
    assert krum.memory_share == pytest.approx(0.02)
    assert krum.times("np.median") is None
    assert sample().measurements[4].times("column mean") is None


def test_every_target_is_judged_from_the_measurements() -> None:
    verdicts = {(v.target.who, v.target.cell, v.target.against): v for v in judge(sample().measurements)}
    assert len(verdicts) == len(TARGETS)
    middle = Cell(*MIDDLE)
    assert verdicts["Median", middle, "column mean"].met is True
    assert verdicts["Median", middle, "np.median"].worst == pytest.approx(10.0)
    assert verdicts["Median", middle, "np.sort"].met is False
    assert verdicts["Median", middle, "torch.sort"].met is None
    assert verdicts["TrimmedMean", middle, "column mean"].met is None
    assert verdicts["Krum", middle, "torch.cdist"].met is True


def test_a_target_of_many_rules_shows_the_worst_and_names_those_that_missed() -> None:
    gram, memory = (v for v in judge(sample().measurements) if v.target.who.startswith("every"))
    assert gram.target.wanted == "<= 1.6x the Gram pass"
    assert (gram.worst_rule, gram.missed, gram.covered) == ("GeometricMedian", ("GeometricMedian",), 2)
    assert gram.worst == pytest.approx(2.0)
    assert memory.target.against == MEMORY
    assert (memory.worst_rule, memory.missed, memory.covered) == ("GeometricMedian", ("GeometricMedian",), 3)


def test_targets_look_at_the_host_and_at_their_own_cell_only() -> None:
    elsewhere = measured("median", "column", 0.01, references={"column mean": 0.02}, device="cuda")
    smaller = measured("median", "column", 0.01, at=(100, 1000), references={"column mean": 0.02})
    assert all(verdict.met is None for verdict in judge([elsewhere, smaller]))


@given(seconds=st.floats(1e-6, 1e3), reference=st.floats(1e-6, 1e3))
def test_faster_and_slower_are_reciprocal(seconds: float, reference: float) -> None:
    m = measured("median", "column", seconds, references={"column mean": reference})
    times, faster = m.times("column mean"), m.faster_than("column mean")
    assert times is not None
    assert faster is not None
    assert times * faster == pytest.approx(1.0)
    assert (times > 1) == (seconds > reference)


def test_results_survive_the_file(tmp_path: Path) -> None:
    run = sample()
    run.write(tmp_path / "aggregation.json")
    assert Run.read(tmp_path / "aggregation.json") == run


def test_the_page_is_well_formed_markdown() -> None:
    text = markdown(sample())
    assert "GRID=quick" in text
    assert "| Median | n=100, d=1,000,000 | >= 8x faster than np.median | 10x | ✓ met |" in text
    assert "MDA is left out: no end \\| of the search" in text
    assert "| Krum(f=20) | n=100, d=3,000,000 | 1.20 GB | 120 MB | 2.5 s |" in text
    assert "missed by GeometricMedian." in text
    widths = []
    for line in text.splitlines():
        if line.startswith("|"):
            widths.append(line.replace("\\|", "").count("|"))
        elif widths:
            assert len(set(widths)) == 1
            widths = []


def test_the_terminal_shows_what_the_page_shows() -> None:
    out = StringIO()
    show(sample(), Console(file=out, width=200))
    for section in sections(sample()):
        assert section.title in out.getvalue()
    assert out.getvalue().count("✗ missed") == 3


def test_an_empty_run_shows_its_targets_as_not_measured() -> None:
    (only,) = sections(Run(grid="quick"))
    assert {row[-1] for row in only.rows} == {"not measured"}


def test_the_plot_is_an_svg_with_every_rule_by_name(tmp_path: Path) -> None:
    draw(sample(), tmp_path / "first.svg")
    draw(sample(), tmp_path / "second.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
    root = ElementTree.parse(tmp_path / "first.svg").getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = "".join(root.itertext())
    for name in ("Median", "Krum", "GeometricMedian", "NNM", "operations per byte", "GB/s", "float64 matrix product"):
        assert name in words
    assert "MDA" not in words


def test_a_plot_without_a_measured_rule_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one rule that was measured"):
        draw(Run(grid="quick"), tmp_path / "roofline.svg")


def test_the_plot_shows_one_cell_that_most_rules_reached() -> None:
    run = sample()
    run.measurements.append(measured("krum", "gram", 9.0, at=(20, 10_000_000), operations=1.0, traffic=1.0))
    assert {m.cell for m in plotted(run)} == {Cell(*MIDDLE)}
    assert len(plotted(run)) == 4


def test_the_model_counts_the_least_work() -> None:
    n, d = 100, 1000
    least = {
        Krum: ((n * (n + 1) + 2 * n) * d, 4 * (2 * n * d + d)),
        Mean: (2 * n * d, 4 * (n * d + d)),
        Median: (comparisons(n) * d, 4 * (n * d + d)),
    }
    for rule, expected in least.items():
        np.testing.assert_allclose(np.array(work(Subject(rule), n, d)), expected)
    krum = Measurement(rule="krum", label="Krum", family="gram", n=n, d=d, seconds=2.0, operations=4e9, traffic=1e9)
    assert attained(krum) == pytest.approx(2.0)
    assert intensity(krum) == pytest.approx(4.0)


@given(n=st.integers(1, 2000))
def test_ordering_takes_at_least_the_logarithm_of_all_orders(n: int) -> None:
    assert comparisons(n) == pytest.approx(math.log2(math.factorial(n)), rel=1e-9, abs=1e-9)


@given(heights=st.lists(st.floats(-5, 5), min_size=1, max_size=30), gap=st.floats(0.01, 0.5))
def test_labels_are_moved_apart_and_stay_in_order(heights: list[float], gap: float) -> None:
    moved = spread(sorted(heights), gap)
    assert len(moved) == len(heights)
    assert all(later - earlier >= gap * (1 - 1e-6) for earlier, later in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(heights), abs=1e-6)


def test_every_rule_of_the_registry_is_a_subject() -> None:
    named = {subject.rule.name for subject in subjects()} | {s.before.name for s in subjects() if s.before is not None}
    found = registry.find("defense").items()
    assert named == {name for name, cls in found if issubclass(cls, Aggregator | PreAggregation)}
    assert len({subject.label for subject in subjects()}) == len(subjects())


def test_subjects_know_their_family_and_geometry() -> None:
    assert (Subject(Krum).family, Subject(Krum).geometry) == ("gram", "pairs")
    assert (Subject(Median).family, Subject(Median).geometry) == ("column", "none")
    assert (Subject(TrimmedMean, NNM).family, Subject(TrimmedMean, NNM).geometry) == ("mixed", "pairs")
    assert Subject(TrimmedMean, NNM).make(2) == NNM(f=2) >> TrimmedMean(f=2)
    assert isinstance(Subject(Mean).make(2), Aggregator)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("subject", [Subject(Krum), Subject(Median), Subject(Mean)], ids=lambda s: s.label)
def test_references_return_and_leave_the_matrix_alone(subject: Subject, device: str) -> None:
    """The references of the accelerator are plain torch, so they run on any device."""
    x = np.random.default_rng(0).normal(size=(10, 200)).astype(np.float32)
    before = x.copy()
    matrix = x if device == "cpu" else torch.from_numpy(x)
    assert ("Gram pass" in bounds(subject, device)) == (subject.geometry != "none")
    for reference in (*bounds(subject, device).values(), *peers(subject, Cell(10, 200)).values()):
        assert reference(matrix, 2) is not None
    np.testing.assert_array_equal(x, before)


def test_the_plain_forms_compute_the_rules_they_stand_for() -> None:
    x = np.random.default_rng(1).normal(size=(15, 300)).astype(np.float32)
    plain = {**peers(Subject(Median), Cell(15, 300)), **peers(Subject(Krum), Cell(15, 300))}
    np.testing.assert_allclose(plain["np.median"](x, 3), Median()(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain["np.sort"](x, 3), TrimmedMean(f=3)(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain["torch.sort"](x, 3), TrimmedMean(f=3)(x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(plain["torch.cdist"](x, 3), Krum(f=3)(x))


def test_turns_alternate_and_keep_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.timing.PEER_QUICK", -1.0)
    order: list[str] = []
    turns = Turns({"a": lambda: order.append("a")}, {"slow": lambda: order.append("slow")})
    for _ in range(3):
        turns()
        order.append("subject")
    assert order == ["a", "slow", "subject", "a", "slow", "subject", "a", "subject"]
    assert set(turns.best) == {"a", "slow"}
    assert all(0 <= best < math.inf for best in turns.best.values())


def test_a_quick_peer_takes_part_in_every_round() -> None:
    calls: list[int] = []
    turns = Turns({}, {"quick": lambda: calls.append(1)})
    for _ in range(5):
        turns()
    assert len(calls) == 5


def test_a_slow_peer_gets_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.benchmarks.timing.PEER_LIMIT", 0.0)
    calls: list[int] = []
    turns = Turns({}, {"slow": lambda: calls.append(1)})
    turns()
    turns()
    assert calls == [1]
    assert set(turns.best) == {"slow"}


def test_roofs_are_the_better_of_two_measurements() -> None:
    early = Roofs(device="cpu", column_mean=1.0, copy=4.0, gemm32=5.0, gemm64=8.0)
    late = Roofs(device="cpu", column_mean=2.0, copy=3.0, gemm32=6.0, gemm64=7.0)
    best = Roofs(device="cpu", column_mean=2.0, copy=4.0, gemm32=6.0, gemm64=8.0)
    assert early.or_better(late) == late.or_better(early) == best


@given(budget=st.floats(0, 10), subject=st.floats(1e-6, 100), reference=st.floats(0, 100))
def test_rounds_keep_to_the_budget(budget: float, subject: float, reference: float) -> None:
    rounds = rounds_for(budget, subject, reference, limit=3.0)
    assert (rounds == 1) == (subject > 3.0)
    assert rounds <= 2 or rounds * (subject + reference) <= budget * (1 + 1e-9)


def test_a_call_that_takes_too_long_is_stopped_and_others_are_not() -> None:
    with time_limit(30.0):
        finished = True
    assert finished
    with pytest.raises(TimeLimit, match=r"Stopped after 0\.05 seconds"), time_limit(0.05):
        time.sleep(60.0)


@pytest.mark.parametrize(
    "allocate", [lambda: np.ones(16_000_000, dtype=np.float32), lambda: torch.ones(16_000_000)], ids=["numpy", "torch"]
)
def test_extra_memory_sees_an_allocation_of_any_library(allocate: Callable[[], object]) -> None:
    assert 60_000_000 < extra_memory(allocate) < 90_000_000


def test_extra_memory_sees_no_input() -> None:
    x = np.ones((100, 200_000), dtype=np.float32)
    assert extra_memory(lambda: float(x[0, 0])) < 4_000_000


def test_grids_hold_the_targets_and_keep_to_the_limit() -> None:
    wanted = {target.cell for target in TARGETS}
    assert wanted <= set(GRIDS["default"].cells) <= set(GRIDS["full"].cells)
    assert len(GRIDS["full"].cells) == 20
    for made in GRIDS.values():
        sizes = [cell.input_bytes for cell in made.cells]
        assert sizes == sorted(sizes)
        assert max(sizes) <= LARGEST_INPUT
        assert made.memory is None or made.memory in made.cells
    assert grid("x", [(10, 10), (2, 3)], 0.1).cells == (Cell(2, 3), Cell(10, 10))


def test_every_name_that_the_benchmark_knows_is_a_rule() -> None:
    assert {*GEOMETRY, *PEERS} <= set(registry.find("defense"))


def test_a_rule_that_wants_a_trusted_update_gets_one() -> None:
    x = np.random.default_rng(0).normal(size=(10, 50)).astype(np.float32)
    fltrust = registry.build("defense", "FLTrust()")
    np.testing.assert_array_equal(call(fltrust, x)(), fltrust(x, trusted=x[-1]))
    np.testing.assert_array_equal(call(Median(), x)(), Median()(x))


def test_a_rule_with_a_parameter_that_nobody_knows_is_not_measured() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Riddle(CoordinateWise):
        answer: Annotated[int, Doc("the answer")]

        def columns(self, block: Array, ops: Kernels) -> Array:
            raise NotImplementedError

    with pytest.raises(NotMeasurable, match="Riddle needs `answer`"):
        Subject(Riddle).make(2)
