"""The commands that look things up: which names exist, what they mean, and where data are.

:mod:`robustfl.cli` gives them their names on the command line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from robustfl import completion

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder with data files; also the variable ROBUSTFL_DATA.")
]


WIDE = 120
"""In a terminal of so many columns the table of defenses has room for all that it tells side by side."""

ScenarioName = Annotated[
    str,
    typer.Argument(
        help="A name of the catalogue (robustfl list scenarios) or a YAML file.", autocompletion=completion.scenarios
    ),
]


MEASURE = "measure"
"""The kind of a measure, in addition to the kinds of the registry."""


class HelpWithNames(TyperCommand):
    """A command whose help shows names of the registry: `{kinds}` becomes the kinds, `{report}` the names of a kind.

    The registry is read only when somebody asks for the help of this command.
    """

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with names in place of the braces."""
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if text:
                vars(parameter)["help"] = re.sub(r"\{(\w+)\}", lambda found: _names(found[1]), text)
        super().format_help(ctx, formatter)


def _names(what: str) -> str:
    """The names of a kind, or the kinds themselves, as in `html, markdown or csv`."""
    from robustfl import registry

    names = [*_plurals()] if what == "kinds" else [*registry.find(what)]
    return " or ".join([", ".join(names[:-1]), *names[-1:]])


def _plurals() -> dict[str, str]:
    """The kinds by their plural words."""
    from robustfl import registry

    return {registry.plural(kind): kind for kind in (*registry.kinds(), MEASURE)}


def list_(
    kind: Annotated[str | None, typer.Argument(help="{kinds} (default: all).", autocompletion=completion.kinds)] = None,
    as_json: Json = False,
) -> None:
    """List what has a name, with a line on each."""
    from robustfl import console, registry

    wanted = [_kind(kind)] if kind else [*registry.kinds(), MEASURE]
    found = {name: _catalogue(name) for name in wanted}
    if as_json:
        typer.echo(json.dumps({name: dict(entries) for name, entries in found.items()}, indent=1))
        return
    screen = console.output()
    for name, entries in found.items():
        if kind and name == "defense":
            rows = registry.traits()
            heads, cells = list(rows[0]), [list(row.values()) for row in rows]
            if screen.width >= WIDE:
                screen.print(console.plain_table(heads, cells))
            else:  # what is last leaves first
                columns = [console.Column(heading=head, give=give) for give, head in enumerate(heads)]
                screen.print(console.FittedTable(columns, cells))
        else:
            screen.print(console.plain_table((name, ""), entries))
        screen.print()


def _kind(text: str) -> str:
    from robustfl.errors import UnknownNameError, did_you_mean

    plurals = _plurals()
    for plural, kind in plurals.items():
        if text.lower() in (kind, plural):
            return kind
    raise UnknownNameError(f"There is no kind {text!r}. {did_you_mean(text, plurals)}")


def _catalogue(kind: str) -> list[tuple[str, str]]:
    """The pairs (name, one line) of everything of a kind, including measures, which the registry does not hold."""
    from robustfl import registry

    if kind != MEASURE:
        return registry.catalogue(kind)
    from robustfl.evaluation.results.measures import known_measures

    return [(name, measure.doc) for name, measure in known_measures().items()]


def describe(
    name: Annotated[
        str,
        typer.Argument(
            help="A name from robustfl list ({kinds}), KIND:NAME, or a key of suites.",
            autocompletion=completion.named,
        ),
    ],
    rows: Annotated[int, typer.Option(help="Number of rows, for the sensitivity of a defense.", min=1)] = 100,
    clip: Annotated[float, typer.Option(help="Length to which rows are clipped, for the sensitivity.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Describe anything that has a name: what it does, its parameters, where it comes from.

    Where several kinds have the name, KIND:NAME says which is meant: robustfl describe data:csv. The keys of suites are
    described as well: robustfl describe federation, task, adversary, score or suite, or federation.topology.
    """
    from robustfl.errors import UnknownNameError, did_you_mean

    kind, _, alone = name.rpartition(":") if name.partition(":")[0].lower() in _all_kinds() else ("", "", name)
    wanted = _all_kinds()[kind.lower()] if kind else ""
    found = {one: page for one, page in _pages(alone, rows, clip) if wanted in ("", one)}
    if not found:
        known = [
            entry for one in dict.fromkeys(_all_kinds().values()) if wanted in ("", one) for entry, _ in _entries(one)
        ]
        what = f"No {wanted} is" if wanted else "Nothing is"
        raise UnknownNameError(f"{what} named {alone!r}. {did_you_mean(alone, known)}")
    first, *others = found
    facts, text = found[first]
    typer.echo(json.dumps(facts, indent=1) if as_json else text)
    if others and not as_json:
        more = " or ".join(f"robustfl describe {one}:{alone}" for one in others)
        typer.echo(f"\nSomething else has the same name: {more}.")


KEY = "key"
"""The kind of a key of suites that holds keys of its own, in addition to the kinds of the registry."""


def _all_kinds() -> dict[str, str]:
    """The kinds that may stand before a name, by the words for them."""
    plurals = {**_plurals(), "keys": KEY}
    return {**plurals, **{kind: kind for kind in plurals.values()}}


def _keys() -> list[str]:
    from robustfl.evaluation.suite.reference import subjects

    return [*subjects()]


def _entries(kind: str) -> list[tuple[str, str]]:
    return [(key, "") for key in _keys()] if kind == KEY else _catalogue(kind)


def _pages(name: str, rows: int, clip: float) -> Iterator[tuple[str, tuple[Any, str]]]:
    """The pages of everything that has a name, by kind: what is told as JSON, and as text. Names of data go first."""
    from robustfl import registry
    from robustfl.errors import UnknownNameError
    from robustfl.own_files import is_reference

    scenarios = registry.scenario_files()
    if name in scenarios:
        text = scenarios[name].read_text(encoding="utf-8")
        yield "scenario", ({"name": name, "yaml": text}, text.rstrip())
    if name in registry.suite_files():
        from robustfl.evaluation.suite.standard import load_standard

        suite = load_standard(name)
        yield "suite", (suite.report(), str(suite))
    for kind in sorted(registry.component_kinds(), key=lambda kind: kind == "report"):
        try:
            facts = {"kind": kind, **registry.describe(registry.get(kind, name), rows, clip)}
        except UnknownNameError:
            continue
        yield kind, (facts, described(facts))
        if is_reference(name):  # a class in a file is of one kind alone
            return
    from robustfl.evaluation.results.measures import known_measures

    if name in known_measures():
        measure = {"kind": MEASURE, **asdict(known_measures()[name])}
        yield MEASURE, (measure, measured(measure))
    from robustfl.evaluation.suite import reference

    path = reference.found(name)
    if path is not None:
        yield KEY, (reference.report(path), _unmarked(reference.page(path)))
    elif key := reference.single(name):
        yield KEY, (key[0], _unmarked(key[1]))


def _unmarked(text: str) -> str:
    """Documentation for a terminal: names and formulas are in single quotation marks, without roles before them."""
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")


def described(facts: dict[str, Any]) -> str:
    """A component's documentation and metadata as text."""
    lines = [f"{facts['name']} ({facts['kind']}, {facts['class']})", "", _unmarked(facts["documentation"])]
    if facts["parameters"]:
        lines += ["", "Parameters"]
    for parameter in facts["parameters"]:
        value = parameter.get("default")
        shown = f"{value:.4g}" if isinstance(value, float) else repr(value)
        default = "required" if parameter["required"] else f"default {shown}"
        limits = "".join(f", {limit}" for limit in parameter["limits"])
        lines.append(f"  {parameter['name']}: {parameter['type']}{limits}, {default}. {parameter['doc']}")
    if facts.get("unfit"):
        facts = {**facts, "unfit": f"do not use it {facts['unfit']}"}
    if "sensitivity" in facts:
        facts = {**facts, "sensitivity": sensitivity_in_words(facts["sensitivity"])}
    told = (
        "family",
        "requires",
        "guarantee",
        "breakdown",
        "unfit",
        "sensitivity",
        "channel",
        "knowledge",
        "surface",
        "made_for",
        "attacks_made_for_it",
        "reference",
    )
    for key in told:
        if facts.get(key):
            value = ", ".join(facts[key]) if isinstance(facts[key], list) else facts[key]
            lines += ["", f"{key.replace('_', ' ').capitalize()}: {value}"]
    return "\n".join(lines)


def sensitivity_in_words(found: dict[str, Any]) -> str:
    """How far one replaced row moves the answer, as a formula with an example; or why nobody knows."""
    if found["value"] is None:
        return f"none known ({found['reason']})"
    given = {"n": found["n"], "clip": found["clip"], **found["parameters"]}
    example = ", ".join(f"{name}={value:g}" for name, value in given.items())
    before = f" in front of the {found['in_front_of']}" if found["in_front_of"] else ""
    public = "".join(f"; public should be {text}" for text in found["public"])
    return f"{found['formula']}{before}, which is {found['value']:.4g} for {example}{public}"


def measured(facts: dict[str, Any]) -> str:
    """The description of a measure as text, and how a claim refers to it."""
    lines = [f"{facts['name']} (measure)", "", f"{facts['doc'][:1].upper()}{facts['doc'][1:]}."]
    better = {"higher": "larger values are good", "lower": "smaller values are good"}.get(facts["better"] or "", "")
    told = {"Unit": facts["unit"], "Better": better, "Form": facts["form"]}
    lines += [line for key, value in told.items() if value for line in ("", f"{key}: {value}")]
    item = ", item=..." if facts["form"] in ("list", "by name") else ""
    return "\n".join([*lines, "", f"In claims: more(DEFENSE, {facts['name']}{item})"])


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            autocompletion=completion.codes, help="A status, the code of a remark, or a guide; without: list all."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say when a status or a remark is raised, what it means and what to do about it; or explain a subject."""
    from robustfl import console
    from robustfl.evaluation.trust import explain as explaining

    if code is not None:
        page = explaining.page(code)
        typer.echo(json.dumps(page.report(), indent=1) if as_json else page.text.rstrip())
        return
    rows = [(name, explaining.page(name).summary) for name in (*explaining.GUIDES, *explaining.codes())]
    if as_json:
        typer.echo(json.dumps(dict(rows), indent=1))
    else:
        console.output().print(console.plain_table(("code", "in one line"), rows))


def schema(
    out: Annotated[Path | None, typer.Option(help="Write to a file instead of standard output.")] = None,
) -> None:
    """The JSON schema of scenario files, for editors."""
    from robustfl.evaluation.results.store import write_atomically
    from robustfl.evaluation.suite.schema import suite_schema

    text = json.dumps(suite_schema(), indent=1) + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())


def data(
    name: Annotated[str | None, typer.Argument(help="A data set, as a scenario would name it.")] = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Say where data are looked for and which data sets are ready; with a name, what is in one."""
    from robustfl import console
    from robustfl.evaluation.doctor import data_overview, dataset_facts

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
