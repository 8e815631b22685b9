"""What `robustfl doctor` and `robustfl data` see, and where numbers come from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustfl import registry
from robustfl.errors import DataError, UnknownNameError
from robustfl.evaluation import doctor as inspection
from robustfl.evaluation.doctor import data_overview, dataset_facts, examine
from robustfl.evaluation.machine import installed, processor_name
from robustfl.evaluation.run.provenance import histogram, provenance
from robustfl.evaluation.suite.scenario import Experiment
from robustfl.federation.data.data_sets import Transferred
from tests.conftest import environment


@pytest.fixture(autouse=True)
def no_data_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROBUSTFL_DATA", raising=False)


def checks() -> dict[str, dict[str, str]]:
    return {check["check"]: check for check in examine()}


def test_a_sound_installation_has_nothing_bad() -> None:
    found = checks()
    assert {check["status"] for check in found.values()} <= {"ok", "note"}
    assert {"robustfl", "torch", "cuda", "plug-ins", "data digits", "aggregation"} <= set(found)
    assert all(check["detail"] for check in found.values())


def test_a_missing_library_is_bad_and_a_missing_extra_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "installed", lambda name: "not installed")
    monkeypatch.setitem(inspection.NEEDED, "scipy", "no_such_module")
    found = checks()
    assert found["scipy"]["status"] == "bad"
    assert "no_such_module" in found["scipy"]["detail"]
    assert found["ray (optional)"]["status"] == "note"


def test_an_aggregation_that_fails_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "build", lambda kind, spec, **_: lambda rows: np.array([np.nan]))
    assert [check["status"] for check in inspection._aggregation()] == ["bad"]


def test_data_that_are_not_there_are_a_note_with_the_remedy() -> None:
    entry = next(entry for entry in data_overview(None)["data"] if entry["name"] == "cifar10")
    assert entry["status"] == "missing"
    assert "ROBUSTFL_DATA" in entry["detail"]


def test_a_data_root_that_is_not_there_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTFL_DATA", str(tmp_path / "nowhere"))
    assert checks()["data"]["status"] == "bad"
    with pytest.raises(DataError, match="should be an existing folder"):
        data_overview(None)


def test_every_data_set_is_in_the_overview(tmp_path: Path) -> None:
    overview = data_overview(tmp_path)
    assert overview["roots"] == [str(tmp_path)]
    assert [entry["name"] for entry in overview["data"]] == list(registry.find("data"))


def test_samples_are_counted_without_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    def trained(*_: object) -> None:
        pytest.fail("a network was trained to count samples")

    monkeypatch.setattr(Transferred, "_trained", trained)
    facts = dataset_facts("{transferred: {source: rotations, public: 247, width: 24}}", None)
    assert (facts["train"], facts["test"], facts["input_shape"]) == (1100, 450, [24])


def test_facts_of_a_data_set_add_up() -> None:
    facts = dataset_facts("digits", None)
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert (facts["train"], facts["test"], facts["input_shape"]) == (1347, 450, [1, 8, 8])
    assert (sum(facts["train_counts"]), sum(facts["test_counts"])) == (1347, 450)
    assert len(facts["train_counts"]) == len(facts["classes"]) == 10
    assert facts["chance"] == pytest.approx(max(facts["test_counts"]) / 450, abs=1e-6)


def test_names_of_no_data_set() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'digits'"):
        dataset_facts("digit", None)


def test_provenance_is_json_and_names_the_device() -> None:
    found: dict[str, Any] = provenance("cuda:1")
    assert json.loads(json.dumps(found)) == found
    assert found["device"] == "cuda:1"
    assert found["cores"] >= 1
    assert found["numpy"] == np.__version__
    assert installed("no-such-distribution") == "not installed"
    assert "\n" not in processor_name()


def test_the_histogram_counts_every_training_sample_once() -> None:
    values = {
        "name": "tiny",
        "task": {"data": "digits", "model": "softmax", "partition": {"dirichlet": {"alpha": 0.3}}},
        "federation": {"clients": 6},
        "adversary": {"f": [2]},
        "defenses": ["mean"],
    }
    (world,) = Experiment(values).worlds
    found = histogram(world, seed=3, f=2, root=None)
    assert np.array(found["counts"]).shape == (6, 10)
    assert np.array(found["counts"]).sum(axis=0).tolist() == dataset_facts("digits", None)["train_counts"]
    assert len(set(found["malicious"])) == 2
    assert set(found["malicious"]) <= set(range(6))
    assert histogram(world, seed=3, f=2, root=None) == found
    assert histogram(world, seed=4, f=2, root=None)["counts"] != found["counts"]


def test_data_are_named_as_in_a_scenario(tmp_path: Path) -> None:
    rows = [f"{number},{'odd' if number % 2 else 'even'}" for number in range(40)]
    (tmp_path / "numbers.csv").write_text("\n".join(["value,kind", *rows]))
    facts = dataset_facts("{csv: {path: numbers.csv, label_column: kind}}", tmp_path)
    assert (facts["train"] + facts["test"], facts["classes"]) == (40, ["even", "odd"])


def test_a_broken_library_is_named_and_the_other_checks_still_run(tmp_path: Path) -> None:
    lines = ("import sys", "sys.modules['torch'] = None", "sys.argv[1:] = ['doctor', '--json']")
    code = "; ".join((*lines, "from robustfl.cli import main", "main()"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    found = {check["check"]: check for check in json.loads(done.stdout)}
    assert found["torch"]["status"] == "bad"
    assert "import of torch halted" in found["torch"]["detail"]
    assert found["numba"]["status"] == found["aggregation"]["status"] == "ok"
