"""The commands on results that are stored: make reports of them, score them again, publish them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from robustfl import completion
from robustfl.lookups import DataRoot, Json

if TYPE_CHECKING:
    from robustfl.evaluation.compare.placing import Placed

leaderboard = typer.Typer(no_args_is_help=True, help="Published tables of defenses, and places in them.")


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
        if report.asked and not formats:
            continue
        for file, shown in report.files(results).items():
            path = folder / file
            if not shown:  # nothing to show: a file of an earlier run would be wrong
                path.unlink(missing_ok=True)
                continue
            write_atomically(path, shown.encode() if isinstance(shown, str) else shown)
            written.append(path)
    return written


def report(
    folder: Annotated[Path, typer.Argument(help="Folder of a run.")],
    format_: Annotated[
        list[str] | None,
        typer.Option(
            "--format",
            help="{report} (default: all but consortium and figures). Repeatable.",
            autocompletion=completion.formats,
        ),
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


@leaderboard.callback()
def _tables() -> None:
    pass


@leaderboard.command()
def add(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with a defense of your own.")],
    to: Annotated[Path, typer.Option(help="The published table, such as reports/published/NAME.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Publish the table with the new rows there; without it nothing is written."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Give the defenses of a run their places in a published table, and judge how they differ from their neighbours.

    The run should be of the same suite with other defenses: robustfl run NAME --set 'defenses=["my_rules.py:MyRule"]'.
    Other attacks, worlds, seeds or rules of the score are refused, with the reason; worlds are found by their content,
    whatever they are called.
    """
    from robustfl import console
    from robustfl.evaluation.compare.placing import place
    from robustfl.evaluation.results.joining import joined
    from robustfl.evaluation.results.publishing import publish_results
    from robustfl.evaluation.results.reporting import RunResults

    published, run = RunResults.load(to), RunResults.load(run_folder)
    found = place(published, run)
    written: list[Path] = []
    if out is not None:
        both = joined(
            published,
            run,
            added=found.added,
            labels=found.labels,
            worlds=found.worlds,
            ranking=found.ranking,
            pairs=found.pairs,
        )
        written = publish_results(both, out)
        written += write_reports(out, ["leaderboard"])
    if as_json:
        typer.echo(json.dumps({**_told(found), "files": [str(path) for path in written]}, indent=1))
        return
    screen = console.output()
    for name in found.added:
        screen.print(_place_in_words(found, name), markup=False, soft_wrap=True)
        heads = (
            ("rank", 0),
            ("defense", 0),
            ("resilience", 2),
            ("difference", 0),
            ("95 % interval", 1),
            ("verdict", 0),
        )
        columns = [console.Column(heading=head, give=give) for head, give in heads]
        screen.print(console.FittedTable(columns, [_beside(entry) for entry in _told(found)["neighbours"][name]]))
        screen.print("Differences are of utility as it was measured: below 0 where a model is worse than guessing.")
        screen.print()
    for remark in found.remarks:
        screen.print(remark, markup=False, soft_wrap=True)
    where = "\n".join(map(str, written)) or "Nothing was written; --out FOLDER publishes the table with these rows."
    screen.print(where, markup=False, soft_wrap=True)


def _told(found: Placed) -> dict[str, Any]:
    """The places of the new defenses, as JSON values."""
    neighbours = {
        name: [
            {
                "defense": one.row["defense"],
                "rank": one.row["rank"],
                "resilience": one.row["R_mean"],
                "difference": one.difference,
                "interval": None if one.interval is None else list(one.interval),
                "verdict": one.verdict,
            }
            for one in beside
        ]
        for name, beside in found.neighbours.items()
    }
    rows = {row["defense"]: row for row in found.ranking}
    return {
        "added": {name: rows[name] for name in found.added},
        "of": len(found.ranking),
        "neighbours": neighbours,
        "remarks": list(found.remarks),
    }


def _place_in_words(found: Placed, name: str) -> str:
    """The place of a new defense, in a sentence."""
    at, row = next((at, row) for at, row in enumerate(found.ranking, start=1) if row["defense"] == name)
    if row["R_mean"] is None:
        return f"{name}: incomplete, so it has no number."
    interval = "" if row["R_ci"] is None else f" (95 % interval {row['R_ci'][0]:.2f} to {row['R_ci'][1]:.2f})"
    kept = f"resilience {row['R_mean']:.2f}{interval}, row {at} of {len(found.ranking)}"
    if row["rank"] is None:
        return f"{name}: {kept}, without a rank: {row.get('status', '')}: {'; '.join(row.get('why', []))}."
    return f"{name}: rank {row['rank']}, {kept}."


def _beside(entry: dict[str, Any]) -> tuple[str, ...]:
    """A neighbour, as cells of a table."""
    interval, change = entry["interval"], entry["difference"]
    return (
        "-" if entry["rank"] is None else str(entry["rank"]),
        entry["defense"],
        "unknown" if entry["resilience"] is None else f"{entry['resilience']:.2f}",
        "unknown" if change is None else f"{change:+.2f}",
        "none" if interval is None else f"{interval[0]:+.2f} to {interval[1]:+.2f}",
        entry["verdict"],
    )
