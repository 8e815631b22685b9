"""The command as people and scripts use it: both streams, exit codes, files, in real processes where they matter."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robustfl import __version__, registry
from robustfl.evaluation.score.headline import headline

Command = Callable[..., Any]
COMMANDS = (
    *("run", "report", "list", "describe", "explain", "compare", "leaderboard", "schema", "data", "verify", "audit"),
    "doctor",
)


def test_help_of_everything(command: Command, tmp_path: Path) -> None:
    top = command("--help", cwd=tmp_path)
    assert top.returncode == 0
    assert all(re.search(rf"\b{name}\b", top.stdout) for name in COMMANDS)
    assert command("-h", cwd=tmp_path).stdout == top.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name: str, inside: Command, tmp_path: Path) -> None:
    done = inside(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"robustfl {name}" in done.stdout


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("report", list(registry.find("report"))),
        ("publish", list(registry.find("report"))),
        ("list", ["scenarios", "suites", "data", "models", "partitions", "reports"]),
        ("describe", ["scenarios", "suites", "data", "models", "partitions", "reports"]),
    ],
)
def test_help_names_what_the_registry_knows(name: str, told: list[str], inside: Command, tmp_path: Path) -> None:
    shown = inside(name, "--help", cwd=tmp_path).stdout
    assert all(re.search(rf"\b{word}\b", shown) for word in told)
    assert "{" not in shown.split("Options")[1]


def test_what_is_left_out_of_a_command_has_a_default_that_its_help_tells(inside: Command, tmp_path: Path) -> None:
    shown = " ".join(inside("run", "--help", cwd=tmp_path).stdout.split())
    assert "(default: runs/NAME)" in shown
    assert "(default: all but consortium and figures)" in inside("report", "--help", cwd=tmp_path).stdout


def test_help_of_everything_looks_no_name_up() -> None:
    code = "import sys; sys.argv = ['robustfl', '--help']\nfrom robustfl.cli import app\ntry: app()\nfinally: "
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}print('robustfl.registry' in sys.modules)"],
        capture_output=True, text=True, check=False,
    ).stdout  # fmt: skip
    assert shown.splitlines()[-1] == "False"


def test_version(command: Command, tmp_path: Path) -> None:
    assert command("--version", cwd=tmp_path).stdout == f"robustfl {__version__}\n"


def test_no_command_shows_the_help(command: Command, tmp_path: Path) -> None:
    done = command(cwd=tmp_path)
    assert done.returncode == 2
    assert "Usage" in done.stdout + done.stderr


def test_a_run_prints_the_ranking_and_nothing_else_on_standard_output(smoke: tuple[Any, Path]) -> None:
    done, folder = smoke
    lines = done.stdout.splitlines()
    assert lines[0].startswith("smoke: ")
    (header,) = (number for number, line in enumerate(lines) if line.startswith("rank"))
    summary = json.loads((folder / "summary.json").read_text())
    for row, line in zip(summary["scores"]["ranking"], lines[header + 1 :], strict=False):
        assert re.match(rf"\s*{row['rank']}\s+{re.escape(row['defense'])}\s+{row['R_mean']:.2f}\s", line)
    assert headline(summary) in " ".join(line.strip() for line in lines)
    assert lines[-1] == "Report: results/report.html"
    assert "Traceback" not in done.stderr


def test_a_run_leaves_records_summary_and_reports(smoke: tuple[Any, Path]) -> None:
    _, folder = smoke
    assert sorted(path.name for path in folder.iterdir()) == [
        "ranking.csv",
        "ranking.tex",
        "records.jsonl",
        "report.html",
        "report.md",
        "scores.csv",
        "summary.json",
    ]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["suite"]["command"] == "robustfl run smoke --out results --workers 0"
    assert (
        summary["trials"]["ok"]
        == summary["trials"]["total"]
        == len((folder / "records.jsonl").read_text().splitlines())
    )


def test_a_finished_run_answers_at_once_and_in_json(smoke: tuple[Any, Path], inside: Command) -> None:
    _, folder = smoke
    done = inside("run", "smoke", "--out", "results", "--workers", "2", "--json", cwd=folder.parent)
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["suite"]["name"] == "smoke"
    assert answer["scores"]["ranking"]
    assert all((folder.parent / name).is_file() for name in answer["files"])
    total = answer["trials"]["total"]
    assert f"{total} of {total} trials are stored already." in done.stderr


def test_reports_can_be_written_again(smoke: tuple[Any, Path], inside: Command) -> None:
    _, folder = smoke
    before = (folder / "report.md").read_bytes()
    (folder / "report.md").unlink()
    done = inside("report", str(folder), "--format", "markdown", "--json", cwd=folder.parent)
    assert [Path(path).name for path in json.loads(done.stdout)] == ["report.md"]
    assert (folder / "report.md").read_bytes() == before


def test_a_run_compared_with_itself_passes(smoke: tuple[Any, Path], inside: Command) -> None:
    _, folder = smoke
    answer = inside("compare", str(folder), str(folder), "--json", cwd=folder.parent)
    found = json.loads(answer.stdout)
    assert (answer.returncode, found["verdict"], found["remarks"], found["next"]) == (0, "PASS", [], [])
    assert {(cell["verdict"], cell["changed"]) for cell in found["cells"]} == {("PASS", False)}
    table = inside("compare", str(folder), str(folder), cwd=folder.parent).stdout.splitlines()
    assert table[0] == found["rows"][0]["world"]  # the only world, named once
    assert table[1].split()[:3] == ["defense", "f", "before"]
    assert [line.split()[-1] for line in table[2:-2]] == ["PASS"] * len(found["rows"])
    assert table[-1].startswith(f"PASS: none of {len(found['cells'])} cells")


def test_a_stored_baseline_gates_a_weaker_run(smoke: tuple[Any, Path], inside: Command, tmp_path: Path) -> None:
    _, folder = smoke
    saved = inside("compare", str(folder), "--save", "main.json", cwd=tmp_path)
    assert (saved.returncode, saved.stdout.split(":")[0]) == (0, "main.json")
    summary = json.loads((folder / "summary.json").read_text())
    (world,) = summary["scores"]["worlds"]
    for cell in world["defenses"][0]["curve"][0]["attacks"].values():
        cell["accuracy"] = [value - 0.2 for value in cell["accuracy"]]
    (tmp_path / "weaker").mkdir()
    (tmp_path / "weaker" / "summary.json").write_text(json.dumps(summary))
    done = inside("compare", "main.json", "weaker", "--out", "gate.md", "--out", "gate.json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].startswith("REGRESSION: 1 of ")
    assert "REGRESSION" in (tmp_path / "gate.md").read_text()
    assert json.loads((tmp_path / "gate.json").read_text())["verdict"] == "REGRESSION"


def test_an_open_comparison_says_what_to_run(smoke: tuple[Any, Path], inside: Command, tmp_path: Path) -> None:
    _, folder = smoke
    summary = json.loads((folder / "summary.json").read_text())
    summary["suite"]["command"] = "robustfl run smoke --out results --workers 0"
    (world,) = summary["scores"]["worlds"]
    for name, drop in (("before", 0.0), ("open", 0.1)):
        world["defenses"][0]["curve"][0]["attacks"]["none"]["accuracy"][0] -= drop
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    done = inside("compare", "before", "open", cwd=tmp_path)
    assert done.returncode == 3
    commands = [line.strip() for line in done.stdout.splitlines()[-5:] if not line.strip().startswith("#")]
    assert commands == [
        "robustfl run smoke --workers 0 --out before --seeds 7",
        "robustfl run smoke --workers 0 --out open --seeds 7",
        "robustfl compare before open --look 2",
    ]


def test_lists(inside: Command, tmp_path: Path) -> None:
    everything = json.loads(inside("list", "--json", cwd=tmp_path).stdout)
    assert list(everything) == [*registry.kinds(), "measure"]
    assert {"krum", "nnm", "median"} <= set(everything["defense"])
    defenses = inside("list", "defenses", cwd=tmp_path)
    header, *rows = defenses.stdout.splitlines()
    assert header.split() == ["defense", "family", "requires", "breakdown", "needs", "f", "memory", "channel"]
    assert any(re.match(r"trimmed_mean +column-wise +n >= 2f \+ 1 +< 1/2 +yes +dense +The coord", row) for row in rows)
    assert any(re.match(r"centered_clipping +geometric .* +yes +dense", row) for row in rows)
    assert re.search(r"^trimmed_mean +The coordinate-wise", inside("list", cwd=tmp_path).stdout, re.MULTILINE)
    assert "sign_flip" not in defenses.stdout


def test_descriptions(inside: Command, tmp_path: Path) -> None:
    facts = json.loads(inside("describe", "krum", "--json", cwd=tmp_path).stdout)
    assert (facts["kind"], facts["requires"]) == ("defense", "n >= 2f + 3")
    text = inside("describe", "krum", cwd=tmp_path).stdout
    assert text.startswith("krum (defense, robustfl.defenses.krum.Krum)")
    assert "Requires: n >= 2f + 3" in text
    scenario = inside("describe", "smoke", cwd=tmp_path).stdout
    assert "defenses: [mean, trimmed_mean, [nnm, krum]]" in scenario


def test_the_schema_goes_to_standard_output_or_a_file(inside: Command, tmp_path: Path) -> None:
    printed = inside("schema", cwd=tmp_path)
    written = inside("schema", "--out", "schema.json", cwd=tmp_path)
    assert (written.returncode, written.stdout) == (0, "")
    assert (tmp_path / "schema.json").read_text() == printed.stdout
    assert json.loads(printed.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_data(inside: Command, tmp_path: Path) -> None:
    overview = json.loads(inside("data", "--json", "--data-root", ".", cwd=tmp_path).stdout)
    assert str(tmp_path) in overview["roots"]
    states = {entry["name"]: entry["status"] for entry in overview["data"]}
    assert states["digits"] == "ready"
    assert states["csv"] == "needs parameters"
    facts = json.loads(inside("data", "digits(test_fraction=0.5)", "--json", cwd=tmp_path).stdout)
    assert facts["train"] + facts["test"] == 1797
    assert sum(facts["test_counts"]) == facts["test"]


def test_the_doctor_finds_this_installation_well(command: Command, tmp_path: Path) -> None:
    done = command("doctor", "--json", cwd=tmp_path)
    checks = {check["check"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, checks
    assert {check["status"] for check in checks.values()} <= {"ok", "note"}
    assert checks["aggregation"]["status"] == checks["data digits"]["status"] == "ok"


def test_the_doctor_notices_a_data_root_that_is_not_there(inside: Command, tmp_path: Path) -> None:
    done = inside("doctor", "--json", cwd=tmp_path, ROBUSTFL_DATA="nowhere")
    assert done.returncode == 1
    (check,) = (check for check in json.loads(done.stdout) if check["status"] == "bad")
    assert (check["check"], "'nowhere'" in check["detail"]) == ("data", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "smok"), "There is no scenario named 'smok'. Did you mean 'smoke'?"),
        (("run", "nowhere.yaml"), "There is no scenario file at nowhere.yaml."),
        (("run", "broken.yaml"), "broken.yaml is not valid YAML"),
        (("run", "unknown.yaml"), "roundz: unknown key. Did you mean 'rounds'?"),
        (("run", "smoke", "--set", "federation.rounds=many"), "federation.rounds: should be a number"),
        (("run", "smoke", "--device", "nonsense"), "--device nonsense is not usable here: "),
        (("run", "smoke", "--device", "meta"), "--device meta is not usable here: "),
        (("run", "smoke", "--out", "broken.yaml"), "--out broken.yaml is a file. Name a folder."),
        (("run", "smoke", "--out", "broken.yaml/sub"), "cannot be opened for writing: Not a directory"),
        (("run", "smoke", "--data-root", "nowhere"), "The data root should be an existing folder"),
        (("run", "smoke", "--set", "task.data={npz: {path: ../x}}", "--data-root", "."), "inside it. Found '../x'"),
        (("report", "."), "summary.json cannot be read: No such file or directory. Point at the folder"),
        (("report", "nowhere"), "nowhere/summary.json cannot be read: No such file or directory"),
        (("compare", ".", "."), "summary.json cannot be read"),
        (("compare", "."), "Name a second run to compare FIRST with, or --save FILE to store FIRST"),
        (("compare", ".", ".", "--save", "x.json"), "Name a second run to compare FIRST with, or --save"),
        (("compare", "broken.yaml", "."), "broken.yaml is not valid JSON"),
        (("list", "defences"), "There is no kind 'defences'. Did you mean 'defenses'"),
        (("describe", "krumm"), "Nothing is named 'krumm'. Did you mean 'krum'"),
        (("data", "digit"), "There is no data named 'digit'. Did you mean 'digits'?"),
        (("data", "csv"), "CSV needs `path`, `label_column`."),
        (("schema", "--out", "nowhere/schema.json"), "No such file or directory"),
    ],
)
def test_mistakes_are_told_in_a_sentence_with_exit_code_2(
    arguments: tuple[str, ...], message: str, inside: Command, tmp_path: Path
) -> None:
    (tmp_path / "broken.yaml").write_text("a: [\n")
    (tmp_path / "unknown.yaml").write_text("extends: smoke\nfederation: {roundz: 3}\n")
    done = inside(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rum",), "No such command 'rum'"),
        (("run",), "Missing argument"),
        (("run", "smoke", "--workers", "-1"), "'--workers'"),
        (("run", "smoke", "--workers", "two"), "'--workers'"),
        (("run", "smoke", "--seeds", "0"), "'--seeds'"),
        (("run", "smoke", "--wrokers", "2"), "No such option: --wrokers"),
    ],
)
def test_wrong_arguments_have_exit_code_2(
    arguments: tuple[str, ...], message: str, inside: Command, tmp_path: Path
) -> None:
    done = inside(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


def test_results_of_another_program_are_refused(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"schema": 1}')
    (tmp_path / "records.jsonl").write_text("")
    done = inside("report", ".", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "summary" in done.stderr


def test_a_store_that_is_broken_inside_is_refused(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("nonsense\n{}\n")
    done = inside("run", "smoke", "--out", ".", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 2
    assert "records.jsonl, line 1: not a record." in done.stderr
    assert (tmp_path / "records.jsonl").read_text() == "nonsense\n{}\n"


@pytest.mark.slow
def test_the_command_of_a_row_gives_its_numbers_again(
    smoke: tuple[Any, Path], command: Command, tmp_path: Path
) -> None:
    whole = json.loads((smoke[1] / "summary.json").read_text())
    words = shlex.split(whole["suite"]["rows"]["NNM > Krum"])
    assert words[0] == "robustfl"
    assert words.count("--out") == 1  # the folder of the whole run is not named as well
    done = command(*words[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    alone = json.loads((tmp_path / "results-alone" / "summary.json").read_text())
    (row,) = alone["scores"]["worlds"][0]["defenses"]
    wanted = next(entry for entry in whole["scores"]["worlds"][0]["defenses"] if entry["defense"] == "NNM > Krum")
    assert row["curve"] == wanted["curve"]


def test_a_published_run_has_its_data_and_a_page_made_from_them(
    smoke: tuple[Any, Path], inside: Command, tmp_path: Path
) -> None:
    done = inside("publish", str(smoke[1]), "kept", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["kept/summary.json.xz", "kept/records.jsonl.xz", "kept/report.md"]
    assert (tmp_path / "kept" / "report.md").read_bytes() == (smoke[1] / "report.md").read_bytes()
    again = inside("publish", str(smoke[1]), str(smoke[1]), cwd=tmp_path)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: ")


def test_a_full_disk_is_told_with_what_to_do(
    inside: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    done = inside("schema", "--out", "schema.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "No space left on device. Make room and give the same command again" in done.stderr
