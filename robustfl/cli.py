"""The command `robustfl`: run suites, read what they found, and look things up.

Exit codes: 0 done; 1 `doctor` or `verify` found something wrong; 2 a wrong argument or file, with the reason; 3 done,
but some trials failed; 130 interrupted.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from robustfl import __version__
from robustfl.errors import RobustflError
from robustfl.wording import counted

app = typer.Typer(
    name="robustfl",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How well does learning together hold up when participants lie, fail, collude, multiply or spy?",
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder with data files; also the variable ROBUSTFL_DATA.")
]


def main() -> None:
    """The entry point: errors of the user are told in one sentence, with exit code 2."""
    try:
        app()
    except (RobustflError, OSError) as error:  # OSError: a file that cannot be read or written, a full disk
        fail(str(error))


def fail(message: str) -> NoReturn:
    """Say on stderr what is wrong and leave with exit code 2."""
    print(f"error: {message}", file=sys.stderr)  # noqa: T201 - the one place that reports errors of the user
    raise SystemExit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"robustfl {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A name of the catalogue (robustfl list scenarios) or a YAML file.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the results [default: runs/NAME].")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes, one thread each; 0: none [default: the cores].")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds, in place of the scenario's number.")] = None,
    device: Annotated[
        str, typer.Option(help="Where clients train and updates are aggregated: cpu, cuda, cuda:1.")
    ] = "cpu",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a value: --set federation.rounds=50. Repeatable.")
    ] = None,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Continue from stored records, or set them aside and start anew.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Run a suite, score it, print the ranking, and write records, summary and reports.

    Running the same command again continues where it stopped and runs only what has changed.
    """
    from robustfl import console
    from robustfl.evaluation.reading import read_experiment
    from robustfl.evaluation.runner import RunOptions, run_experiment
    from robustfl.evaluation.trial import Place

    overrides = (*(set_ or ()), *((f"seeds={seeds}",) if seeds is not None else ()))
    experiment = read_experiment(scenario, overrides)
    _check_device(device)
    folder = out or Path("runs") / experiment.suite.name
    if folder.exists() and not folder.is_dir():
        fail(f"--out {folder} is a file. Name a folder.")
    count = workers if workers is not None else (os.cpu_count() or 1) if device == "cpu" else 1
    options = RunOptions(
        out=folder,
        workers=count,
        place=Place(device=device, data_root=data_root.resolve() if data_root else None),
        fresh=not resume,
        command=shlex.join(["robustfl", *sys.argv[1:]]),
    )
    screen = console.messages()
    progress = console.RunProgress(screen)
    try:
        summary = run_experiment(experiment, options, progress)
    except KeyboardInterrupt:
        progress.stop()
        screen.print("Interrupted. Finished trials are stored; run the same command again to continue.")
        raise SystemExit(130) from None
    finally:
        progress.stop()
    written = _write_reports(folder, None)
    if as_json:
        files = [str(folder / name) for name in ("records.jsonl", "summary.json")] + [str(path) for path in written]
        keys = ("suite", "time", "trials", "scores", "claims")
        typer.echo(json.dumps({**{key: summary[key] for key in keys}, "files": files}, indent=1))
    else:
        _print_ranking(summary, folder)
    if summary["trials"]["failed"]:
        screen.print(f"{counted(summary['trials']['failed'], 'trial')} failed; the report shows the tracebacks.")
        raise SystemExit(3)


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    try:
        torch.ones(1, device=device).item()  # the device `meta` makes tensors that hold nothing
    except (RuntimeError, AssertionError, ImportError) as error:
        fail(f"--device {device} is not usable here: {str(error).splitlines()[0]}")


def _print_ranking(summary: dict[str, Any], folder: Path) -> None:
    from robustfl import console

    screen, scores = console.output(), summary["scores"]
    suite, counts = summary["suite"], summary["trials"]
    screen.print(f"{suite['name']}: {suite['description']}", markup=False)
    grids = "; ".join(f"{w['world']}: f in {w['f_grid']} of {w['clients']}" for w in scores["worlds"])
    screen.print(f"{grids}; {counted(len(suite['seeds']), 'seed')}, {counts['total']} trials\n", markup=False)
    screen.print(console.ranking_table(scores))
    if summary["claims"]:
        screen.print("\nClaims", style="bold")
        screen.print(console.claims_table(summary["claims"]))
    serious = [flag for flag in scores["flags"] if flag["level"] == "error"]
    others = len(scores["flags"]) - len(serious)
    if serious or others:
        screen.print()
    for flag in serious:
        screen.print(f"{flag['code']}: {flag['message']}", markup=False)
    if others:
        screen.print(f"{others} remarks on how far these numbers can be trusted are in the report.")
    screen.print(f"\nReport: {folder / 'report.html'}", markup=False, soft_wrap=True)


def _write_reports(folder: Path, formats: list[str] | None) -> list[Path]:
    from robustfl import registry
    from robustfl.evaluation.reporting import ReportFormat, RunResults
    from robustfl.evaluation.store import write_atomically

    results = RunResults.load(folder)
    written = []
    for name in formats or list(registry.find("report")):
        report = registry.build("report", name)
        assert isinstance(report, ReportFormat)
        path = folder / report.filename
        text = report.render(results)
        if not text:  # nothing to show, so that what an earlier run may have left here is no longer true
            path.unlink(missing_ok=True)
            continue
        write_atomically(path, text.encode())
        written.append(path)
    return written


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="html, markdown, csv or claims_csv [default: all]. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the reports of a finished run again."""
    paths = [str(path) for path in _write_reports(folder, format_)]
    typer.echo(json.dumps(paths) if as_json else "\n".join(paths))


@app.command(name="list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(help="scenarios, defenses, attacks, data, models, partitions or reports.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List what has a name, with a line on each."""
    from robustfl import console, registry

    wanted = [_kind(kind)] if kind else list(registry.kinds())
    found = {name: registry.catalogue(name) for name in wanted}
    if as_json:
        typer.echo(json.dumps({name: dict(entries) for name, entries in found.items()}, indent=1))
        return
    screen = console.output()
    for name, entries in found.items():
        if kind and name == "defense":
            rows = registry.traits()
            screen.print(console.plain_table(list(rows[0]), [list(row.values()) for row in rows]))
        else:
            screen.print(console.plain_table((name, ""), entries))
        screen.print()


def _kind(text: str) -> str:
    from robustfl import registry
    from robustfl.errors import UnknownNameError, did_you_mean

    plurals = {("data" if kind == "data" else f"{kind}s"): kind for kind in registry.kinds()}
    for plural, kind in plurals.items():
        if text.lower() in (kind, plural):
            return kind
    raise UnknownNameError(f"There is no kind {text!r}. {did_you_mean(text, plurals)}")


@app.command()
def describe(name: Annotated[str, typer.Argument(help="A name from robustfl list.")], as_json: Json = False) -> None:
    """Describe a defense, attack, data set, model, partition, report format or scenario."""
    from robustfl import registry
    from robustfl.errors import UnknownNameError, did_you_mean

    scenarios = registry.scenario_files()
    if name in scenarios:
        text = scenarios[name].read_text(encoding="utf-8")
        typer.echo(json.dumps({"name": name, "yaml": text}) if as_json else text.rstrip())
        return
    for kind in registry.kinds():
        if kind == "scenario":
            continue
        try:
            facts = {"kind": kind, **registry.describe(registry.get(kind, name))}
        except UnknownNameError:
            continue
        typer.echo(json.dumps(facts, indent=1) if as_json else _described(facts))
        return
    known = [entry for kind in registry.kinds() for entry, _ in registry.catalogue(kind)]
    raise UnknownNameError(f"Nothing is named {name!r}. {did_you_mean(name, known)}")


def _described(facts: dict[str, Any]) -> str:
    """A component's documentation and metadata as text."""
    lines = [f"{facts['name']} ({facts['kind']}, {facts['class']})", "", facts["documentation"]]
    if facts["parameters"]:
        lines += ["", "Parameters"]
    for parameter in facts["parameters"]:
        default = "required" if parameter["required"] else f"default {parameter['default']!r}"
        limits = "".join(f", {limit}" for limit in parameter["limits"])
        lines.append(f"  {parameter['name']}: {parameter['type']}{limits}, {default}. {parameter['doc']}")
    for key in ("family", "requires", "guarantee", "breakdown", "channel", "knowledge", "surface", "reference"):
        if facts.get(key):
            value = ", ".join(facts[key]) if isinstance(facts[key], list) else facts[key]
            lines += ["", f"{key.capitalize()}: {value}"]
    return "\n".join(lines)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Folder of the run that counts as before.")],
    second: Annotated[Path, typer.Argument(help="Folder of the run that counts as after.")],
    as_json: Json = False,
) -> None:
    """Compare two runs, defense by defense, over the seeds that both have."""
    from robustfl import console
    from robustfl.evaluation.comparison import compare_runs, comparison_rows
    from robustfl.evaluation.reporting import RunResults

    found = compare_runs(RunResults.load(first).summary, RunResults.load(second).summary)
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    screen = console.output()
    for remark in found["remarks"]:
        screen.print(remark, markup=False)
    columns = ("world", "defense", "f", "before", "after", "change", "95 % interval", "verdict")
    screen.print(console.plain_table(columns, comparison_rows(found)))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option(help="Write to a file instead of standard output.")] = None,
) -> None:
    """The JSON schema of scenario files, for editors."""
    from robustfl.evaluation.scenario import suite_schema
    from robustfl.evaluation.store import write_atomically

    text = json.dumps(suite_schema(), indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())


@app.command()
def data(
    name: Annotated[str | None, typer.Argument(help="A data set, as a scenario would name it.")] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Say where data are looked for and which data sets are ready; with a name, what is in one."""
    from robustfl import console
    from robustfl.evaluation.inspection import data_overview, dataset_facts

    if name is not None:
        facts = dataset_facts(name, data_root)
        typer.echo(
            json.dumps(facts, indent=1) if as_json else "\n".join(f"{key}: {value}" for key, value in facts.items())
        )
        return
    overview = data_overview(data_root)
    if as_json:
        typer.echo(json.dumps(overview, indent=1))
        return
    screen = console.output()
    screen.print("Looked for in: " + ", ".join(overview["roots"]), markup=False)
    rows = [(entry["name"], entry["status"], entry["detail"]) for entry in overview["data"]]
    screen.print(console.plain_table(("data", "status", ""), rows))


@app.command()
def verify(
    ledger: Annotated[Path, typer.Argument(help="A ledger of decisions about clients.")],
    head: Annotated[
        str | None, typer.Option(help="The published head of an earlier state; entries may have been added since.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that no entry of a ledger was altered, removed, inserted or moved; exit code 1 if one was.

    Entries removed at the end are noticed against a published head alone: keep the one that this prints.
    """
    from dataclasses import asdict

    from robustfl.reputation import verify as examine_ledger

    verdict = examine_ledger(ledger, head=head)
    if as_json:
        typer.echo(json.dumps(asdict(verdict), indent=1))
    else:
        typer.echo(f"{ledger}: {verdict.summary()}")
    if not verdict.intact:
        raise SystemExit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this installation: versions, devices, plug-ins, data, and one aggregation end to end."""
    from robustfl import console
    from robustfl.evaluation.inspection import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps(checks, indent=1))
    else:
        rows = [(check["check"], check["status"], check["detail"]) for check in checks]
        console.output().print(console.plain_table(("check", "status", ""), rows))
    if any(check["status"] == "bad" for check in checks):
        raise SystemExit(1)
