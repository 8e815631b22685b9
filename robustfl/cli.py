"""The command `robustfl`: run suites, read what they found, and look things up.

Exit codes: 0 done; 1 `doctor`, `verify` or `audit` found something wrong, or `compare` a regression; 2 a wrong argument
or file, with the reason; 3 done, but some trials failed or a comparison is still open; 70 an error of robustfl itself,
with a traceback; 130 interrupted, 143 asked to end.
"""

from __future__ import annotations

import errno
import io
import json
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from robustfl import __version__
from robustfl.auditing import audit
from robustfl.errors import RobustflError
from robustfl.lookups import DataRoot, HelpWithNames, Json, ScenarioName, data, describe, explain, list_, schema
from robustfl.new_suites import init
from robustfl.stored import leaderboard, publish, report, rescore, write_reports
from robustfl.wording import counted, remarks_counted

if TYPE_CHECKING:
    from robustfl.evaluation.results.summaries import Summary
    from robustfl.evaluation.run.runner import RunOptions
    from robustfl.evaluation.suite.scenario import Experiment

app = typer.Typer(
    name="robustfl",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How well does learning together hold up when participants lie, fail, collude, multiply or spy?",
)


class LedgerDetail(StrEnum):
    """Which decisions ledgers hold."""

    CHANGES = "changes"
    ALL = "all"
    NONE = "none"


UNEXPECTED = 70
"""The exit code of an error that nobody foresaw, which must not be taken for a finding."""


def main() -> None:
    """The entry point: errors of the user are reported in one sentence, with exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without a letter must not end a run
    try:
        app()
    except (RobustflError, OSError) as error:  # OSError: a file that cannot be read or written, a full disk
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        room = ". Make room and give the same command again: runs go on from what they have stored." if full else ""
        fail(f"{error}{room}")
    except Exception:  # nobody foresaw it: it is shown whole, and its exit code means no finding
        traceback.print_exc()
        raise SystemExit(UNEXPECTED) from None


class Terminated(KeyboardInterrupt):
    """The process was asked to end by SIGTERM, as by a batch system whose time is over."""


@contextmanager
def terminations_raised() -> Iterator[None]:
    """Raise :class:`Terminated` in the block where SIGTERM arrives, so that it ends as it does by Ctrl-C."""

    def raised(number: int, frame: object) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only there signals can be handled
        yield
        return
    before = signal.signal(signal.SIGTERM, raised)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
    scenario: ScenarioName,
    out: Annotated[Path | None, typer.Option(help="Folder of the results (default: runs/NAME).")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Worker processes, one thread each; 0: none (default: the cores).")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Seeds, in place of the scenario's number.")] = None,
    device: Annotated[
        str, typer.Option(help="Where clients train and updates are aggregated: cpu, cuda, cuda:1.")
    ] = "cpu",
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Override a value: --set seeds=10. Repeatable.")
    ] = None,
    data_root: DataRoot = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Continue from stored records, or set them aside and start anew.")
    ] = True,
    budget: Annotated[
        bool, typer.Option("--budget", help="Only say how long it would take, from short trials of every attack.")
    ] = False,
    ledgers: Annotated[
        LedgerDetail, typer.Option(help="What to keep of the decisions of defenses with a reputation, in OUT/ledgers.")
    ] = LedgerDetail.CHANGES,
    replays: Annotated[
        int,
        typer.Option(
            min=0,
            envvar="ROBUSTFL_REPLAYS",
            help="Trials of each defense, with and without an attack, to play again in a new process; 0: none.",
        ),
    ] = 1,
    off_by_one: Annotated[
        bool,
        typer.Option(
            "--off-by-one/--no-off-by-one",
            envvar="ROBUSTFL_OFF_BY_ONE",
            help="Also tell defenses one malicious client more, and one less, under their worst attack.",
        ),
    ] = True,
    isolate: Annotated[
        bool, typer.Option("--isolate", help="Give every defense a process of its own, which is handed rows alone.")
    ] = False,
    executor: Annotated[
        str | None, typer.Option(help="Play trials elsewhere: ray, submitit, or what a plug-in brings (default: here).")
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="Where the executor finds its cluster: auto, HEAD:6379, slurm, local.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Run a suite, score it, print the ranking, and write records, summary and reports.

    Running the same command again continues where it stopped and runs only what has changed.
    """
    from robustfl import console
    from robustfl.evaluation.run.checking import Checks
    from robustfl.evaluation.run.clusters.choosing import elsewhere
    from robustfl.evaluation.run.play import Resources
    from robustfl.evaluation.run.runner import RunOptions, run_experiment
    from robustfl.evaluation.suite.reading import read_experiment

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
        place=Resources(device=device, data_root=data_root.resolve() if data_root else None, isolate=isolate),
        fresh=not resume,
        command=shlex.join(["robustfl", *sys.argv[1:]]),
        ledgers=ledgers.value,
        checks=Checks(replays=replays, off_by_one=off_by_one),
    )
    screen = console.messages()
    if budget:
        typer.echo(_budget(experiment, options, as_json))
        return
    progress = console.RunProgress(screen)
    try:
        with terminations_raised(), elsewhere(executor, address, options) as placed:
            summary = run_experiment(experiment, placed, progress)
    except KeyboardInterrupt as asked:
        progress.stop()
        screen.print("Interrupted. Finished trials are stored; run the same command again to continue.")
        raise SystemExit(143 if isinstance(asked, Terminated) else 130) from None
    finally:
        progress.stop()
    written = write_reports(folder, None)
    if as_json:
        files = [str(folder / name) for name in ("records.jsonl", "summary.json")] + [str(path) for path in written]
        keys = ("suite", "time", "trials", "scores", "claims")
        told = {key: value for key, value in summary.items() if key in keys}
        typer.echo(json.dumps({**told, "files": files}, indent=1))
    else:
        _print_ranking(summary, folder)
    if summary["trials"]["failed"]:
        screen.print(f"{counted(summary['trials']['failed'], 'trial')} failed; the report shows the tracebacks.")
        raise SystemExit(3)


def _budget(experiment: Experiment, options: RunOptions, as_json: bool) -> str:
    """How long a run would take if none of its records were stored."""
    from robustfl.evaluation.run.budget import checking, estimate
    from robustfl.evaluation.suite.plan import Plan

    plan = Plan(experiment)
    found = estimate(plan.trials, options.place, options.workers)
    after = checking(plan, options.checks, found.each)
    if as_json:
        times = {"worker_seconds": round(found.seconds, 1), "checking_worker_seconds": round(after.seconds, 1)}
        return json.dumps({"trials": found.trials, "checking_trials": after.trials, **times})
    workers = counted(max(1, options.workers), "worker")
    text = f"{counted(found.trials, 'trial')}, about {found.duration(options.workers)} with {workers}"
    if not after.trials:
        return text
    checks = f"at most {counted(after.trials, 'trial')} and {after.duration(options.workers)}"
    return f"{text}; checks once these are played: {checks}"


def _check_device(device: str) -> None:
    if device == "cpu":
        return
    import torch

    try:
        torch.ones(1, device=device).item()  # tensors of the device `meta` hold no values
    except (RuntimeError, AssertionError, ImportError) as error:
        fail(f"--device {device} is not usable here: {str(error).splitlines()[0]}")


def _print_ranking(summary: Summary, folder: Path) -> None:
    from robustfl import console

    screen, scores = console.output(), summary["scores"]
    suite, counts = summary["suite"], summary["trials"]
    screen.print(f"{suite['name']}: {suite['description']}", markup=False)
    for line in console.world_lines(scores):
        screen.print(line, markup=False)
    screen.print(f"{counted(len(suite['seeds']), 'seed')}, {counted(counts['total'], 'trial')}\n", markup=False)
    screen.print(console.ranking_table(scores))
    screen.print()
    for line in (*console.headline_lines(summary), *console.status_lines(summary)):
        screen.print(line, markup=False)
    if summary["claims"]:
        screen.print("\nClaims", style="bold")
        screen.print(console.claims_table(summary["claims"]))
    if scores["flags"]:
        screen.print()
    for line in console.error_lines(scores):
        screen.print(line, markup=False)
    if scores["flags"]:
        screen.print(f"How far to trust this: see {remarks_counted(scores['flags'])} in the report.", soft_wrap=True)
        screen.print("robustfl explain CODE tells what a status or a remark means.", soft_wrap=True)
    if (folder / "ledgers").exists():
        told = f"\nDecisions about clients: {folder / 'ledgers'} (robustfl verify {folder} checks them)"
        screen.print(told, markup=False, soft_wrap=True)
    screen.print(f"\nReport: {folder / 'report.html'}", markup=False, soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="What counts as before: the folder of a run, or a file of --save.")],
    second: Annotated[Path | None, typer.Argument(help="What counts as after.")] = None,
    delta: Annotated[float, typer.Option(min=0, help="Drop in utility that does not matter.")] = 0.02,
    alpha: Annotated[float, typer.Option(help="Level of the tests, over all cells and looks.")] = 0.05,
    looks: Annotated[int, typer.Option(min=1, max=3, help="Looks planned, each after adding seeds; 1: no more.")] = 3,
    look: Annotated[int, typer.Option(min=1, max=3, help="Which of these looks this is.")] = 1,
    different: Annotated[bool, typer.Option("--allow-different-suites", help="Judge what both have.")] = False,
    save: Annotated[Path | None, typer.Option(help="Store FIRST as a compact baseline; without SECOND.")] = None,
    out: Annotated[list[Path] | None, typer.Option(help="Also write to a .md or .json file. Repeatable.")] = None,
    as_json: Json = False,
) -> None:
    """Judge whether a change made any defense weaker: two runs of a suite, cell by cell, paired over common seeds.

    A cell is REGRESSION (significantly worse, by more than --delta), PASS (not
    worse by --delta), IMPROVED, or INCONCLUSIVE; it is CHANGED when results
    should be equal bit for bit and are not.

    Exit codes: 0 nothing blocks; cells that are open at the last look are told.
    1 a regression that holds among all tests, of a cell or of the mean of a
    defense, or trials that only SECOND lacks. 2 a wrong argument or file, or
    different suites. 3 open: the commands for the next look are printed.
    """
    from robustfl import console
    from robustfl.evaluation.compare import comparison
    from robustfl.evaluation.compare import text as comparison_text
    from robustfl.evaluation.results.baseline import save_stored

    if save is not None and second is None:
        save_stored(comparison.load_run(first), save)
        typer.echo(json.dumps([str(save)]) if as_json else f"{save}: what a comparison reads of {first}")
        return
    if second is None or save is not None:
        fail("Name a second run to compare FIRST with, or --save FILE to store FIRST: one of the two.")
    settings = comparison.GateSettings(delta=delta, alpha=alpha, looks=looks, look=look, different_suites=different)
    found = comparison.compare_runs(comparison.load_run(first), comparison.load_run(second), settings)
    commands = comparison.next_commands(found, first, second)
    comparison_text.write(found, commands, out or [])
    if as_json:
        typer.echo(json.dumps(found.report(commands), indent=1))
    else:
        for part in comparison_text.parts(found, commands):
            if isinstance(part, str):
                console.output().print(part, markup=False, soft_wrap=True)
            else:
                columns = [console.Column(heading=name, give=comparison_text.GIVE.get(name, 0)) for name in part[0]]
                console.output().print(console.FittedTable(columns, part[1]))
    raise SystemExit(found.exit_code)


@app.command()
def verify(
    ledger: Annotated[Path, typer.Argument(help="A ledger of decisions about clients, or the folder of a run.")],
    head: Annotated[
        str | None, typer.Option(help="The head that was published, perhaps with fewer entries; of a run: its own.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that no entry of a ledger was altered, removed, inserted or moved; exit code 1 if one was.

    Entries removed at the end are noticed against a published head alone: keep the one that this prints. Of a run, all
    ledgers are checked, against the heads in its records.
    """
    from dataclasses import asdict

    from robustfl.reputation import verify as examine_ledger

    if ledger.is_dir():
        _verify_run(ledger, head, as_json)
        return
    verdict = examine_ledger(ledger, head=head)
    if as_json:
        typer.echo(json.dumps(asdict(verdict), indent=1))
    else:
        typer.echo(f"{ledger}: {verdict.summary()}")
    if not verdict.intact:
        raise SystemExit(1)


def _verify_run(folder: Path, head: str | None, as_json: bool) -> None:
    from robustfl.evaluation.run.ledger_check import verify_run

    found = verify_run(folder, head=head)
    typer.echo(json.dumps(found.as_json(), indent=1) if as_json else f"{folder}: {found.summary()}")
    if not found.intact:
        raise SystemExit(1)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check this installation: versions, devices, plug-ins, data, and one aggregation end to end."""
    from robustfl import console
    from robustfl.evaluation.doctor import examine

    checks = examine()
    if as_json:
        typer.echo(json.dumps(checks, indent=1))
    else:
        rows = [(check["check"], check["status"], check["detail"]) for check in checks]
        console.output().print(console.plain_table(("check", "status", ""), rows))
    if any(check["status"] == "bad" for check in checks):
        raise SystemExit(1)


app.command(cls=HelpWithNames)(report)
app.command()(rescore)
app.command(cls=HelpWithNames)(publish)
app.add_typer(leaderboard, name="leaderboard")
app.command()(audit)
app.command(name="list", cls=HelpWithNames)(list_)
app.command(cls=HelpWithNames)(describe)
app.command()(explain)
app.command()(schema)
app.command()(init)
app.command()(data)
