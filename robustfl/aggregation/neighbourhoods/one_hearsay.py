"""What one peer hears of third ones from its neighbours, between the caller's names and the numbers of rules."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from robustfl.aggregation.neighbourhoods.rumours import Refused, Rumour
from robustfl.aggregation.updates.ids import identify
from robustfl.errors import ParameterError, UpdatesError

MYSELF = 0
"""The number of the peer itself."""


@dataclass(frozen=True)
class OneHearsay:
    """What a peer was told: by whom, and what, of which everything but the teller may be invented.

    Attributes
    ----------
    me : the peer's own name, or None where nobody has told anything
    told : teller -> its rumours, of which each may be anything
    names : the tellers, and the subjects that can be read
    loud : the tellers that have told more than they may; nobody asks of whom
    """

    me: Hashable = None
    told: Mapping[Hashable, Sequence[Any]] = field(default_factory=dict)
    names: frozenset[Hashable] = frozenset()
    loud: frozenset[Hashable] = frozenset()

    def numbered(self, numbers: Mapping[Hashable, int]) -> list[Any]:
        """The rumours as rules know them. The teller of each is who has told it, whatever stands in it."""
        found: list[Any] = []
        for teller, rumours in self.told.items():
            for rumour in rumours:
                if not isinstance(rumour, Rumour):
                    found.append(rumour)
                    continue
                subject = self.me if teller in self.loud else _plain(rumour.subject)
                number = MYSELF if subject == self.me else numbers.get(subject, -1)
                found.append(replace(rumour, teller=numbers[teller], subject=number))
        return found


NOTHING = OneHearsay()
"""Of a peer to whom nobody has told anything."""


def read_hearsay(me: Hashable, rumours: Mapping[Any, Sequence[Any]] | None, most: int) -> OneHearsay:
    """What neighbours have told a peer; `most` is how many rumours a teller may tell.

    The subjects of a teller who tells more get no number: none of its rumours is believed anyway.
    """
    if not rumours:
        return NOTHING
    if me is None:
        raise ParameterError("Who is told of others should know what they call it itself. Pass it: `name='anna'`.")
    mine, told, loud = _plain(me), {}, set()
    names: set[Hashable] = set()
    for teller, said in rumours.items():
        plain = _plain(teller)
        if plain is None:
            raise ParameterError(f"`rumours` should name who has told them. Found {teller!r}.")
        told[plain] = _listed(said)
        subjects = [rumour.subject for rumour in told[plain] if isinstance(rumour, Rumour)]
        if len(subjects) > most:
            loud.add(plain)
        else:
            names |= {_plain(subject) for subject in subjects}
        names.add(plain)
    return OneHearsay(mine, told, frozenset(names - {None, mine}), frozenset(loud))


def published(updates: Mapping[Any, Any], names: Sequence[Hashable]) -> Callable[[int, int], Any]:
    """What `Occasion.updates` says of neighbours who have these numbers from 1 on, from what they said by name."""
    said = {_plain(name): update for name, update in updates.items()}
    return lambda _, sender: said.get(names[sender - 1])


def named(refused: Sequence[Refused], me: Hashable, names: Sequence[Hashable]) -> list[Refused]:
    """Refused rumours by the caller's names."""
    every = [me, *names]

    def name(number: Any) -> Any:
        return every[number] if 0 <= number < len(every) else number

    return [replace(one, teller=name(one.teller), subject=name(one.subject)) for one in refused]


def _listed(said: Any) -> list[Any]:
    """What a neighbour has told, one by one: nothing if it is None, and a single thing if it is no list."""
    if said is None:
        return []
    return list(said) if isinstance(said, Sequence) and not isinstance(said, str | bytes) else [said]


def _plain(name: Any) -> Hashable:
    """The name as letters have it, or None if it is none."""
    try:
        names, nobody = identify([name], 1)
    except (UpdatesError, TypeError, ValueError, RecursionError):  # the last one: of lists in lists in lists ...
        return None
    return None if nobody else names[0]
