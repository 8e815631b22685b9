"""The section on what spies found out: a row a spy, means over seeds, and words where an attack says nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from robustfl.reports.sections.leakage import LEAKAGE


def world(*mores: dict[str, Any]) -> Any:
    records = {str(place): {"metrics": {"more": more}} for place, more in enumerate(mores)}
    cell = {"trials": [*records, None]}
    defenses = [{"defense": "Mean", "curve": [{"f": 0, "attacks": {"none": cell}}]}]
    return SimpleNamespace(defenses=defenses, run=SimpleNamespace(records=records))


def test_a_row_holds_the_means_over_seeds() -> None:
    first = {
        "identified_by": {"Analytic": 1.0, "Analytic, round 0": 1.0, "Told": 0.5},
        "psnr_by": {"Analytic": 90.0},
        "privacy_oracles": ["Told"],
        "privacy_unfit": ["Imprint: the first layer is not linear"],
    }
    second = {"identified_by": {"Analytic": 0.5, "Told": 0.5}, "psnr_by": {"Analytic": 80.0}}
    assert LEAKAGE.of_world is not None
    content = LEAKAGE.of_world(world(first, second))
    assert content is not None
    (table,) = content.blocks
    shown: Any = table
    assert [column.key for column in shown.columns] == ["defense", "attack", "identified", "psnr"]
    rows = {row.cells["attack"]: row for row in shown.rows}
    assert list(rows) == ["Analytic", "Analytic, round 0", "Told (told)", "Imprint"]
    assert (rows["Analytic"].cells["identified"], rows["Analytic"].cells["psnr"]) == (0.75, 85.0)
    assert rows["Imprint"].instead == "not applicable: the first layer is not linear"


def test_without_spies_there_is_no_section() -> None:
    assert LEAKAGE.of_world is not None
    assert LEAKAGE.of_world(world({"identified": None}, {})) is None
