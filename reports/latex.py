"""The ranking as tables for a paper, with the rules of booktabs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robustfl.evaluation.results.reporting import ReportPage, RunResults
from robustfl.evaluation.results.summaries import PeersAlone, PeersServed
from robustfl.evaluation.score.peers import served
from robustfl.wording import counted

from .sections.content import Run
from .sections.content.wording import MISSING, interval, named, number
from .sections.ranking import levels, mark, place
from .tex import commented, table


@dataclass(frozen=True, kw_only=True)
class Latex(ReportPage):
    r"""The ranking as a table with the rules of booktabs, to be read by ``\input{ranking.tex}``.

    A suite of several worlds has a second table, with the resilience in each of them. The preamble of the document
    needs ``\usepackage{booktabs}``. Every string of the results is escaped. Comments at the top say which run, version
    and attacks the numbers are from.
    """

    filename: ClassVar[str] = "ranking.tex"

    def render(self, results: RunResults) -> str:
        """The tables, or an empty text if no defense was ranked; equal results give equal bytes."""
        run = Run(results=results)
        if not run.ranking:
            return ""
        short = "The attacks: " + "; ".join(
            f"{brief} is {attack}" for attack, brief in sorted(run.short_attacks.items()) if brief != attack
        )
        worlds = [] if len(run.worlds) < 2 else [_worlds(run)]
        return "\n\n".join(["\n".join(_origin(run)), _ranking(run), *worlds, commented(short)]) + "\n"


def _origin(run: Run) -> list[str]:
    """Which numbers these are, as comments."""
    suite, made = run.summary["suite"], run.summary["provenance"]
    frozen = suite.get("standard")
    facts = [
        f"Suite {suite['name']}, hash {suite['hash']}, {counted(len(run.seeds), 'seed')}.",
        *([f"Attacks: {frozen['name']}, hash {frozen['hash']}."] if frozen else []),
        f"robustfl {made.get('robustfl', 'unknown')}, commit {made.get('commit', 'unknown')}.",
        f"Command: {suite['command']}",
        "The preamble needs \\usepackage{booktabs}.",
    ]
    return [commented(fact) for fact in facts]


def _ranking(run: Run) -> str:
    scores = run.results.summary["scores"]
    alone = run.baselines
    between = ("Mean", "Worst") if alone else ()
    header = ("Rank", "Defense", "R", "95% interval", "Own", "Updates", "Calm", *between, "Worst attack")
    rows: list[tuple[str, ...]] = [
        (
            place(row),
            row["defense"],
            f"{number(row['R_mean'])}{mark(row)}",
            interval(row["R_ci"]),
            *(number(value) for value in levels(row).values()),
            number(row.get("undisturbed")),
            *(_accuracies(served(scores, row)) if alone else ()),
            named(run.short_attacks.get(row["worst_attack"], row["worst_attack"])),
        )
        for row in run.contestants
    ]
    for base in alone:
        own = base.played
        told = (None, None, None) if own is None else (own["R_unt"], own["R_unt_ci"], own.get("undisturbed"))
        known = (number(told[0]), interval(told[1]), MISSING, MISSING, number(told[2]))
        rows.append((MISSING, base.name, *known, *_accuracies(base.alone), ""))
    over = f", the mean over {len(run.worlds)} worlds" if len(run.worlds) > 1 else ""
    caption = (
        f"Resilience R of defenses in {run.summary['suite']['name']}{over}: the worst-case utility, averaged over the "
        f"attacked shares of malicious clients (1: as good as training without attacks, 0: as bad as guessing), over "
        f"{counted(len(run.seeds), 'seed')}. Own, Updates: R against attackers who know their own data alone, and who "
        "see the honest updates. Calm: the utility without an attack. ≈: cannot be told apart from the first."
    )
    if alone:
        caption += (
            " Mean, Worst: the accuracies of honest peers under the worst attack with the most malicious ones, and "
            "what peers reach alone."
        )
    return table(header, rows, f"rlrrrrr{'r' * len(between)}l", caption, "tab:ranking")


def _accuracies(own: PeersServed | PeersAlone | None) -> tuple[str, str]:
    """The accuracies of the mean and of the worst peer."""
    return (MISSING, MISSING) if own is None else (number(own["mean"]), number(own["worst"]))


def _worlds(run: Run) -> str:
    found = [{own["defense"]: own["R_unt"] for own in world.defenses} for world in run.worlds]
    rows = [(row["defense"], *(number(values.get(row["defense"])) for values in found)) for row in run.ranking]
    numbers = [str(at) for at in range(1, len(found) + 1)]
    told = "; ".join(f"{at}: {world.short}" for at, world in zip(numbers, run.worlds, strict=True))
    caption = f"Resilience in each world. {told}."
    return table(("Defense", *numbers), rows, "l" + "r" * len(found), caption, "tab:worlds")
