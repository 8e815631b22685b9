"""The commands on results that are stored: make reports of them, score them again, publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from robustfl.lookups import DataRoot, Json


def write_reports(folder: Path, formats: list[str] | None) -> list[Path]:
    """Write the reports of a run, of all formats or of those that are named; the paths of what was written."""
    from robustfl import registry
    from robustfl.evaluation.results.reporting import ReportFormat, RunResults
    from robustfl.evaluation.results.store import write_atomically

    results = RunResults.load(folder)
    written = []
    for name in formats or list(registry.find("report")):
        report = registry.build("report", name)
        assert isinstance(report, ReportFormat)
        for file, text in report.files(results).items():
            path = folder / file
            if not text:  # nothing to show: a file of an earlier run would be wrong
                path.unlink(missing_ok=True)
                continue
            write_atomically(path, text.encode())
            written.append(path)
    return written


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    format_: Annotated[
        list[str] | None,
        typer.Option("--format", help="{report} (default: all). Repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the reports of a finished run again."""
    paths = [str(path) for path in write_reports(folder, format_)]
    typer.echo(json.dumps(paths) if as_json else "\n".join(paths))


def rescore(
    folder: Annotated[Path, typer.Argument(help="Folder of a finished run, or of a published one.")],
    scenario: Annotated[str, typer.Argument(help="The scenario that was run: a name or a YAML file.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="The overrides of the run. Repeatable.")] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Score the stored records of a run again, by the rules of this version; no trial is played.

    The summary is replaced, and the reports are written again.
    """
    from robustfl.evaluation.run.rescoring import rescore as score_again
    from robustfl.evaluation.suite.reading import read_experiment

    score_again(folder, read_experiment(scenario, tuple(set_ or ())), data_root.resolve() if data_root else None)
    packed = not (folder / "summary.json").exists()
    pages = write_reports(folder, ["leaderboard"] if packed else None) or write_reports(folder, ["markdown"])
    paths = [str(path) for path in pages]
    typer.echo(json.dumps(paths) if as_json else "\n".join(paths))


def publish(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    folder: Annotated[Path, typer.Argument(help="Where to publish it, such as reports/published/NAME.")],
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="Pages to make beside the data: {report}. Repeatable.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Pack the records and the summary of a run for a repository, with a page that is made from them.

    The page is the leaderboard, for suites with a standard suite of attacks, and the Markdown report for others.
    Everything else can be made from the packed files: robustfl report FOLDER.
    """
    from robustfl.evaluation.results.publishing import publish as pack

    packed = pack(run_folder, folder)
    pages = write_reports(folder, format_ or ["leaderboard"]) or write_reports(folder, ["markdown"])
    paths = [str(path) for path in (*packed, *pages)]
    typer.echo(json.dumps(paths) if as_json else "\n".join(paths))
