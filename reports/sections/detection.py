"""Detection: how well the messages that a defense ignores match those of malicious clients."""

from __future__ import annotations

from .content import LABEL, NUMBER, PERCENT, TEXT, Column, Content, Row, Section, Table, Values, World
from .content.wording import listed, named

NOTE = (
    "Precision: share of malicious messages among the ignored, where any were. Recall: share of the malicious "
    "messages that was ignored. AUC: how often a malicious message had less weight than an honest one, 0.5 by chance. "
    "First the means over the attacks, then the attack with the lowest AUC."
)
_DETECTED = {"detection_precision": "precision", "detection_recall": "recall", "detection_auc": "AUC"}


def _headings(first: str) -> list[str]:
    """The headings `Precision`, `Recall` and `AUC`; the first of them follows the given words, if there are any."""
    shown = [text[0].upper() + text[1:] for text in _DETECTED.values()]
    return [f"{first}: {shown[0].lower()}", *shown[1:]] if first else shown


COLUMNS = (
    Column(key="defense", heading="Defense", form=LABEL),
    *(Column(key=f"mean {key}", heading=text, form=NUMBER) for key, text in zip(_DETECTED, _headings(""), strict=True)),
    Column(key="ignored", heading="Honest ignored", form=PERCENT),
    *(
        Column(key=f"least {key}", heading=text, form=NUMBER)
        for key, text in zip(_DETECTED, _headings("Hardest"), strict=True)
    ),
    Column(key="under", heading="Under", form=TEXT),
)


def _of_world(world: World) -> Content | None:
    defenses = [own for own in world.axis("side_effects") if own["caught"] is not None]
    rows = tuple(map(_row, defenses))
    if all(row.instead for row in rows):
        return None
    most = listed(sorted({str(own["caught"]["f"]) for own in defenses}))
    return Content(
        title=f"Who was caught, with {most} malicious clients of {world.clients}",
        introduction=NOTE,
        blocks=(Table(columns=COLUMNS, rows=rows),),
    )


def _row(own: Values) -> Row:
    """The means and the hardest attack, or the reason in words why there is nothing to show."""
    caught = own["caught"]
    nothing, hardest = _nothing(own), caught["attacks"].get(caught["hardest"], {})
    if nothing:
        return Row(cells={"defense": own["defense"]}, instead=nothing)
    return Row(
        cells={
            "defense": own["defense"],
            **{f"mean {name}": caught["mean"][name] for name in _DETECTED},
            "ignored": caught["mean"]["honest_ignored"],
            **{f"least {name}": hardest.get(name) for name in _DETECTED},
            "under": "" if caught["hardest"] is None else named(caught["hardest"]),
        }
    )


def _nothing(own: Values) -> str:
    """The reason why a defense has no row; empty if it has one."""
    attacks = own["caught"]["attacks"]
    if not attacks:
        return "not played with so many"
    known = [attack for attack, found in attacks.items() if found["detection_auc"] is not None]
    if len(known) == len(attacks) or any(way["honest_ignored"] is not None for way in own["undisturbed"]):
        return ""
    refused = f", under {listed(known)}" if len(known) in (1, 2) else f", under {len(known)} attacks"
    return f"has no weights; ignores only what it refuses{refused if known else ': nothing here'}"


DETECTION = Section(key="detection", of_world=_of_world, measures=(*_DETECTED, "honest_ignored"))
