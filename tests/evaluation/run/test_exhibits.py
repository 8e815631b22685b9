"""Samples beside reconstructions: what a run keeps of them, and that nothing else is taken for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robustfl.errors import StoreError
from robustfl.evaluation.results.store import read_records
from robustfl.evaluation.run.exhibits import Exhibits
from robustfl.evaluation.run.runner import RunOptions, run_experiment
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.federation.observers.leakage import Exhibit

SUITE: dict[str, Any] = {
    "name": "watched",
    "task": {"data": "digits", "model": {"mlp": {"hidden": [8]}}, "partition": "iid"},
    "federation": {"clients": 5, "rounds": 3, "batch_size": 1, "evaluate_every": 3},
    "adversary": {"f": [1]},
    "defenses": ["mean"],
    "attacks": ["sign_flip"],
    "privacy": {"attacks": ["analytic"], "rounds": ["first", 1], "targets": 2},
    "seeds": 1,
}


def exhibit() -> Exhibit:
    pictures = torch.linspace(0, 1, 32).reshape(2, 1, 4, 4)
    return Exhibit(attack="A", originals=pictures, found=pictures / 2, psnr=torch.tensor([30.0, 20.0]))


def test_what_was_kept_is_read_again_and_nothing_else(tmp_path: Path) -> None:
    kept = Exhibits(tmp_path)
    record: Any = {"trial": "t", "exhibit": kept.keep("t", exhibit())}
    pairs = kept.read(record)
    assert pairs is not None
    assert pairs.attack == "A"
    np.testing.assert_array_equal(pairs.originals, exhibit().originals.numpy())
    assert kept.read({**record, "exhibit": None}) is None
    assert kept.keep("other", exhibit()) == record["exhibit"]
    changed = Exhibit(attack="B", originals=pictures(), found=pictures(), psnr=torch.tensor([1.0, 1.0]))
    kept.keep("t", changed)
    with pytest.raises(StoreError, match="not the exhibit that its record names"):
        kept.read(record)
    kept.path("t").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(StoreError, match="cannot be read"):
        kept.read(record)
    kept.path("t").unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        kept.read(record)


def pictures() -> torch.Tensor:
    return torch.zeros(2, 1, 4, 4)


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    kept = Exhibits(tmp_path)
    record: Any = {"trial": "t", "exhibit": kept.keep("t", exhibit())}
    np.savez(kept.path("t"), attack=np.array([{}], dtype=object), originals=1, found=1, psnr=1)
    with pytest.raises(StoreError, match="cannot be read"):
        kept.read(record)


def test_unfinished_files_go_and_old_exhibits_are_set_aside(tmp_path: Path) -> None:
    kept = Exhibits(tmp_path)
    kept.tidy()
    kept.keep("t", exhibit())
    (kept.folder / ".t.npz.xyz").write_bytes(b"half")
    kept.tidy()
    assert [path.name for path in kept.folder.iterdir()] == ["t.npz"]
    kept.tidy(aside=True)
    assert [path.name for path in (tmp_path / "exhibits.1.bak").iterdir()] == ["t.npz"]
    assert not kept.folder.exists()


def test_a_suite_watches_the_trials_without_an_attack(tmp_path: Path) -> None:
    run_experiment(Experiment(SUITE), RunOptions(out=tmp_path, workers=0))
    records = {record["labels"]["attack"]: record for record in read_records(tmp_path / "records.jsonl")}
    watched, attacked = records["none"], records["SignFlip"]
    more: Any = watched["metrics"]["more"]  # type: ignore[index]
    assert more["identified"] == 1.0
    assert more["identified_by"] == {"Analytic": 1.0, "Analytic, round 0": 1.0, "Analytic, round 1": 1.0}
    pairs = Exhibits(tmp_path).read(watched)
    assert pairs is not None
    assert 1 <= len(pairs.psnr) <= 4
    assert (pairs.psnr == 100).all()
    assert "exhibit" not in attacked
    assert "identified" not in attacked["metrics"]["more"]  # type: ignore[index]
