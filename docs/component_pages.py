"""Writes the pages of the documentation that follow from metadata: one for each defense and attack, and their tables.

`conf.py` calls :func:`write` before Sphinx reads the sources, so a page cannot say anything else than the code.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from docs.curves import figure
from docs.published import LEVELS, Course, Published
from docs.snippets import snippets
from robustfl import registry
from robustfl.components import Component
from robustfl.evaluation.trust import explain

KINDS = {"defense": "defenses", "attack": "attacks"}
"""The kinds that have a page for each of their members, with the folders of these pages."""

BEFORE = ("pre-aggregation", "client-side", "privacy mechanism")
"""The families of what stands in front of a rule."""

HIDDEN = ":exclude-members: __new__"
"""Sphinx shows how objects are allocated otherwise, which says nothing about any of them."""

API = {
    "robustfl.aggregation": "What a defense is, and what it answers.",
    "robustfl.server": "A rule as a server: the model that was sent, the replies to it, the next model.",
    "robustfl.aggregation.sharded": "A rule in place of an averaging all-reduce.",
    "robustfl.threats": "What an attack is, and what it may know.",
    "robustfl.graphs": "Who hears whom among peers.",
    "robustfl.privacy": "What releases with noise cost, and audits of such claims.",
    "robustfl.reputation": "Who is trusted, and the ledger of decisions.",
    "robustfl.isolation": "A defense in a process of its own.",
    "robustfl.testing": "Whether a rule is what it says it is.",
    "robustfl.registry": "Everything that has a name.",
    "robustfl.errors": "What is raised.",
}
"""The modules of the reference of Python, each with one line."""


def write(folder: Path) -> list[Path]:
    """Write all generated pages below `folder`; the paths of what was written."""
    published = Published()
    pages = {"choosing_tables.md": choosing_tables(published), "api.rst": api()}
    pages |= {"leaderboard.md": section("Leaderboard"), "leaderboard_table.md": leaderboard_table(published)}
    pages |= {"privacy_guide.md": guide("privacy"), "remarks.md": remarks()}
    for kind, place in KINDS.items():
        found = {name: cls for name, cls in registry.find(kind).items() if cls.__module__.startswith("robustfl.")}
        pages |= {f"{place}/{name}.rst": component_page(kind, cls, published) for name, cls in found.items()}
        pages[f"{place}/index.md"] = component_index(kind, found)
    written = []
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:  # Sphinx builds again what is newer
            path.write_text(text, encoding="utf-8")
        written.append(path)
    for path in set(folder.rglob("*.*")) - set(written):
        path.unlink()
    return written


def component_page(kind: str, cls: type[Component], published: Published) -> str:
    """The page of one defense or attack, in reStructuredText, as its docstring is."""
    facts = registry.describe(cls)
    heading = cls.__name__
    parts = [heading, "=" * len(heading), "", *_facts(facts)]
    parts += [*_section("When not to use it"), f"Do not use it {_code(facts['unfit'])}.", ""]
    parts += [*_section("Definition"), f".. autoclass:: {_public(cls)}", f"   {HIDDEN}", ""]
    if facts["parameters"]:
        parts += [*_section("Parameters"), *_parameters(facts["parameters"])]
    parts += [*_section("How to use it"), *_usage(cls)]
    parts += _standing(facts, published) if kind == "defense" else _damage(facts, published)
    return "\n".join(parts)


def _facts(facts: dict[str, Any]) -> list[str]:
    told = {
        "In suites": f"``{facts['name']}``",
        "Family": facts.get("family", ""),
        "Surface": facts.get("surface", ""),
        "Knows": ", ".join(facts.get("knowledge", ())),
        "Made for": ", ".join(f"``{name}``" for name in facts.get("made_for", ())),
        "Requires": facts.get("requires", ""),
        "Guarantee": facts.get("guarantee", ""),
        "Breakdown point": facts.get("breakdown", ""),
        "Messages": facts.get("channel", ""),
        "Reference": facts["reference"],
    }
    return [line for key, value in told.items() if value for line in (f":{key}: {value}",)] + [""]


def _usage(cls: type[Component]) -> list[str]:
    lines: list[str] = []
    for snippet in snippets(cls):
        lines += [f"**{snippet.title}**", "", *([snippet.note, ""] if snippet.note else [])]
        lines += [
            f".. code-block:: {snippet.language}",
            "",
            *(f"   {line}".rstrip() for line in snippet.code.split("\n")),
            "",
        ]
    return lines


def _drawn(course: Course, published: Published, grey: str) -> list[str]:
    """A curve with what it shows."""
    told = (
        f"Balanced accuracy of ``{course.defense}`` over the rounds, the mean over the seeds. Coloured: under "
        f"``{course.attack}``{', where training blows up' if course.diverged else ''}. Dashed: without an attack. "
        f"Grey: {grey}. Dotted: guessing."
    )
    return [told, "", ".. raw:: html", "", f"   {figure(course, published)}", ""]


def _standing(facts: dict[str, Any], published: Published) -> list[str]:
    """The rows of the leaderboard in which the defense is a stage, and what takes most from them."""
    rows = published.standings(registry.folded(facts["name"]))
    out = _section("In the leaderboard")
    if not rows:
        among_peers = facts["family"].startswith("peers")
        suite = "peers_quickstart" if among_peers else "leaderboard_digits"
        by = f"``robustfl run {suite} --set 'defenses=[{facts['name']}]'``"
        if not among_peers and (facts["family"] in BEFORE or facts["channel"] != "dense"):
            by = "The suite above"
        out += [f"It is not in the published leaderboard. {by} plays it."]
        return [*out, "", *_section("What breaks it"), *_made_for(facts)]
    head = ["pipeline", "rank", "resilience", "95 % interval", "no attack", *LEVELS.values()]
    body = [[s.defense, s.rank, s.resilience, s.interval, s.undisturbed, *s.kept] for s in rows]
    out += [f"{_code(published.title)}. The last columns are what is kept by what attackers know."]
    out += ["", *_table(head, body)]
    out += _section("What breaks it")
    for row in rows:
        out += _drawn(published.course(row.defense), published, "all other pipelines, each under its worst attack")
        out += [f"What ``{row.defense}`` keeps under the attacks that take most:", ""]
        out += _table(["attack", "utility"], [list(pair) for pair in row.worst])
    return [*out, *_made_for(facts)]


def _made_for(facts: dict[str, Any]) -> list[str]:
    """The attacks that were made for a defense, as links."""
    name, search = facts["name"], "PeerWhiteBox" if facts["family"].startswith("peers") else "WhiteBox"
    against = [cls for cls in registry.find("attack").values() if name in getattr(cls, "made_for", ())]
    if not against:
        return [f"No attack of the catalogue is made for it alone; the searches of ``{search}`` ask any rule.", ""]
    links = ", ".join(f":doc:`{cls.__name__} </generated/attacks/{cls.name}>`" for cls in against)
    return [f"Made for it: {links}.", ""]


def _damage(facts: dict[str, Any], published: Published) -> list[str]:
    """What the pipelines of the leaderboard keep under an attack."""
    rows = published.under(registry.folded(facts["name"]))
    out = _section("What it does")
    if not rows:
        return [*out, "It is not in the attack list of the published leaderboard.", ""]
    out += _drawn(published.course_under(registry.folded(facts["name"])), published, "all other pipelines under it")
    out += [f"What pipelines keep under it, the lowest utility first. {_code(published.title)}.", ""]
    return [*out, *_table(["pipeline", "variant", "utility"], [list(row) for row in rows[:12]])]


def _parameters(parameters: Sequence[dict[str, Any]]) -> list[str]:
    rows = []
    for entry in parameters:
        default = "required" if entry["required"] else f"``{entry.get('default')!r}``"
        limits = ", ".join(entry["limits"])
        rows.append(
            [f"``{entry['name']}``", default, f"{entry['type']}{f', {limits}' if limits else ''}", entry["doc"]]
        )
    return _table(["name", "default", "type", "meaning"], rows, "stacked")


def component_index(kind: str, found: dict[str, type[Component]]) -> str:
    """The table of contents of the pages of a kind, in groups by family or surface."""
    groups: dict[str, list[type[Component]]] = {}
    for cls in found.values():
        groups.setdefault(str(getattr(cls, "family" if kind == "defense" else "surface", "other")), []).append(cls)
    title = f"Every {kind}"
    lines = [f"# {title}", "", "One page each: what it computes, what is promised, and what was measured.", ""]
    for group, members in sorted(groups.items()):
        lines += [f"## {group[:1].upper()}{group[1:]}", ""]
        lines += [f"- [{cls.__name__}]({cls.name}.rst): {_plain(_told(cls))}" for cls in members]
        lines += [""]
    names = "\n".join(cls.name for cls in sorted(found.values(), key=lambda cls: cls.__name__.lower()))
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", names, "```", ""])


def _told(cls: type[Component]) -> str:
    """The summary of a class, without its name in front."""
    summary = cls.summary()
    head, _, rest = summary.partition(": ")
    return rest if rest and registry.folded(head.replace(" ", "")) == registry.folded(cls.__name__) else summary


def choosing_tables(published: Published) -> str:
    """The tables from which a defense is chosen: what each needs, and what the leaderboard says."""
    best: dict[str, str] = {}
    for row in published.standings():
        if " > " not in row.defense:
            best[registry.folded(row.defense.split("(")[0])] = row.resilience
    rules: list[tuple[str, ...]] = []
    before: list[tuple[str, ...]] = []
    peers: list[tuple[str, ...]] = []
    for traits in registry.traits():
        cls = registry.get("defense", traits["defense"])
        if not cls.__module__.startswith("robustfl."):
            continue
        link = f"[`{traits['defense']}`](generated/defenses/{traits['defense']}.rst)"
        requires = traits["requires"].replace(" ", "\u00a0")  # on one line, also where columns are narrow
        needs = (requires, traits["needs f"], traits["memory"], traits["breakdown"])
        if traits["family"].startswith("peers"):
            peers.append((link, traits["family"].removeprefix("peers, "), *needs))
        elif traits["family"] in BEFORE:
            before.append((link, _plain(_told(cls)), traits["family"]))
        else:
            rules.append((link, best.get(registry.folded(traits["defense"]), ""), *needs))
    rules.sort(key=lambda cells: (-float(cells[1] or -1), cells[0]))
    head = ("requires", "needs f", "memory", "breakdown point")
    told: list[tuple[str, Sequence[str], list[tuple[str, ...]]]] = [
        ("Rules", ("defense", "keeps", *head), rules),
        ("In front of a rule", ("defense", "what it does", "kind"), sorted(before)),
        ("Rules of peers", ("defense", "kind", *head), sorted(peers)),
    ]
    return "\n".join(line for title, names, rows in told for line in (f"### {title}", "", *_lined(names, rows), ""))


def leaderboard_table(published: Published) -> str:
    """The ranking of the leaderboard."""
    head = ("rank", "pipeline", "keeps", "95 % interval", *LEVELS.values(), "no attack")
    rows = [(s.rank, s.defense, s.resilience, s.interval, *s.kept, s.undisturbed) for s in published.standings()]
    return "\n".join([*_lined(head, rows), ""])


def _lined(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def guide(name: str) -> str:
    """A page of `robustfl explain` without its heading, one level of headings as it is there."""
    return explain.page(name).text.partition("\n")[2].lstrip()


def section(title: str) -> str:
    """A section of the README without its heading; links to files of the repository become what they say."""
    text = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    (found,) = (part for part in re.split(r"^## ", text, flags=re.MULTILINE) if part.startswith(f"{title}\n"))

    def said(link: re.Match[str]) -> str:
        return f"`{link[1]}`" if re.fullmatch(r"\S+[./]\S+", link[1]) else link[1]

    return re.sub(r"\[([^]]+)\]\((?!https?:)[^)]+\)", said, found.partition("\n")[2]).lstrip()


def remarks() -> str:
    """All statuses and remarks, as `robustfl explain` tells them."""
    texts = [re.sub(r"^#", "##", explain.page(code).text, flags=re.MULTILINE).rstrip() for code in explain.codes()]
    intro = "What `robustfl explain CODE` says of each status and remark."
    return "\n\n".join(["# Statuses and remarks", intro, *texts, ""])


def api() -> str:
    """The reference of Python: what each module of :data:`API` gives to others."""
    lines = [
        "API",
        "===",
        "",
        "Defenses and attacks have pages of their own. Everything else that is for others to use:",
    ]
    for name, told in API.items():
        lines += ["", name, "-" * len(name), "", told, "", f".. automodule:: {name}", "   :no-members:", ""]
        for member, value in public(name):
            directive = "autofunction" if inspect.isfunction(value) else "autoclass"
            options = ["   :members:", f"   {HIDDEN}"] if directive == "autoclass" else []
            lines += [f".. {directive}:: {name}.{member}", *options, ""]
    return "\n".join(lines)


def public(name: str) -> list[tuple[str, Any]]:
    """The classes and functions that a module defines, or that a package takes from its own modules."""
    found = vars(import_module(name)).items()
    return [
        (member, value)
        for member, value in found
        if not member.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and (value.__module__ == name or value.__module__.startswith(f"{name}."))
    ]


def _public(cls: type[Component]) -> str:
    """The name by which a component is imported: `robustfl.defenses.Krum`."""
    return f"{'.'.join(cls.__module__.split('.')[:2])}.{cls.__name__}"


def _section(title: str) -> list[str]:
    return [title, "-" * len(title), ""]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], kind: str = "data") -> list[str]:
    """A table in reStructuredText; the cells hold inline markup alone."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :class: {kind}", ""]
    for row in (head, *rows):
        lines += [f"   {'*' if not place else ' '} - {cell}" for place, cell in enumerate(row)]
    return [*lines, ""]


def _code(text: str) -> str:
    """Markdown's marks of code as those of reStructuredText."""
    return re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", text)


def _plain(text: str) -> str:
    """A line of a docstring as Markdown."""
    return re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")
