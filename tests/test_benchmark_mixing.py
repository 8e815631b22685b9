"""The script that measures what mixing costs at least."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")

from tests.benchmarks import mixing_bound


def test_the_bound_of_mixing_is_a_table_of_ratios_to_a_copy(capsys: pytest.CaptureFixture[str]) -> None:
    mixing_bound.main(["--peers", "12", "--parameters", "2048", "--seconds", "0"])
    table = capsys.readouterr().out.splitlines()
    assert table[2].startswith("| copying all models |")
    assert table[2].endswith("| 1x | 1x |")
    assert [line.split("|")[1].strip() for line in table[-4:]] == [
        f"a whole rule, {tier}" for tier in ("linear", "star", "Gram", "order")
    ]
