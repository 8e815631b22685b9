"""What the defenses and attacks say about themselves."""

from __future__ import annotations

from collections.abc import Mapping

from .content import Card, Cards, Content, Detailed, Run, Section, Values
from .content.wording import named

LOOKS = {
    "own": "its own data and updates",
    "history": "the models of past rounds",
    "peers": "the updates of all honest clients",
    "data": "the data of all honest clients",
    "defense": "the defense itself (white box)",
}
"""What an attack knows, in words; an unknown word is shown as it is."""


def _of_run(run: Run) -> Content:
    found = run.summary["components"]
    defenses = Cards(title="Defenses", entries=_cards(found["defenses"], run.order))
    attacks = Cards(title="Attacks", entries=_cards(found["attacks"], {}))
    return Content(title="Defenses and attacks", blocks=(Detailed(full=(defenses, attacks)),))


def _cards(cards: Mapping[str, Values], order: Mapping[str, int]) -> tuple[Card, ...]:
    """One card per component, in the order of the ranking; the card of no attack comes before those of attacks."""
    names = sorted(cards, key=lambda name: (order.get(name, len(order)), name != "none", name))
    return tuple(_card(name, cards[name]) for name in names)


def _card(name: str, own: Values) -> Card:
    stages, summary = own.get("stages") or [], own.get("summary")
    facts = {
        "Guarantee": own.get("guarantee"),
        "Sensitivity": own.get("sensitivity"),
        "Requires": own.get("requires"),
        "Knows": ", ".join(LOOKS.get(known, known) for known in own.get("knowledge") or []),
        "Reference": own.get("reference"),
    }
    return Card(
        title=named(name),
        stages=", then ".join(stages) if len(stages) > 1 else "",
        summary=summary or "",
        facts=tuple(f"{title}: {text}" for title, text in facts.items() if text),
    )


CONTESTANTS = Section(key="contestants", of_run=_of_run)
