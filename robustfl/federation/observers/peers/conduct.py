"""Watches how a rule of peers behaves while it mixes, as rules of servers are watched.

In a few rounds the rule is asked again: the same question once more, and, before there is any history, under other
names. Names tell who is malicious only to a rule that has found it out elsewhere. The order of letters needs no
question: rules get them in the order of the names.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robustfl.aggregation.kernels.base import Array
from robustfl.aggregation.neighbourhoods import Hoods, Letters, Mixed, Mixer, Occasion, Rumour
from robustfl.aggregation.neighbourhoods.mixer import Short
from robustfl.federation.observers.conduct import (
    CHANGES,
    DRAWS,
    NAMES,
    VARIES,
    Conduct,
    follows,
    generators_moved,
    holds,
)

_CLOSE = 1e-5
"""Sums in another order may differ by this share of the largest number."""
_NUDGES, _NUDGE = 3, 1e-3
"""How often letters are moved to break ties, and by which share of their spread."""
_EMPTY = -1


class MixerConduct:
    """Asks the rule of a network of peers, and tells `conduct` what it sees.

    A rule that picks letters may pick another one of two equally good letters under other names. A difference therefore
    counts only if it remains when the letters are moved a little.

    Parameters
    ----------
    mixer : the rule
    conduct : keeps what was seen, for the record
    rounds : the numbers of the rounds with letters; the rule is questioned in the first, the middle and the last one
    short : what peers do with too few letters
    """

    def __init__(self, mixer: Mixer, conduct: Conduct, rounds: Sequence[int], short: Short) -> None:
        self._mixer, self._conduct, self._short = mixer, conduct, short
        self._asked_again = {rounds[0], rounds[len(rounds) // 2], rounds[-1]}

    def mix(self, letters: Letters, hoods: Hoods, occasion: Occasion) -> Mixed:
        """What the rule makes of the letters of a round."""
        if occasion.number in self._asked_again:
            self._question(letters, hoods, occasion)
        before = np.array(letters.rows[:, :: max(1, letters.d // 64)])
        answer, moved = generators_moved(lambda: self._mixer.mix(letters, hoods, occasion, short=self._short))
        for name in moved:
            if follows(name, lambda: self._asked(letters, hoods, occasion), np.array_equal):
                self._conduct.note(DRAWS.format(name))
        if before.tobytes() != np.ascontiguousarray(letters.rows[:, :: max(1, letters.d // 64)]).tobytes():
            self._conduct.note(CHANGES)
        return answer

    def _question(self, letters: Letters, hoods: Hoods, occasion: Occasion) -> None:
        first, again = (self._asked(letters, hoods, occasion) for _ in range(2))
        if first.tobytes() != again.tobytes():
            self._conduct.note(VARIES)
            return
        if not holds(self._mixer.state_dict()) and not self._alike(
            letters, hoods, occasion, *_renamed(hoods, occasion)
        ):
            self._conduct.note(NAMES)

    def _alike(self, letters: Letters, hoods: Hoods, occasion: Occasion, other: Hoods, then: Occasion) -> bool:
        """Whether other neighbourhoods, which say the same, get the same models."""
        for rows in (letters.rows, *_nudged(letters.rows)):
            moved = Letters(rows.copy(), dict(letters.faults))
            one, two = self._asked(moved, hoods, occasion), self._asked(moved, other, then)
            if (np.abs(one - two) <= _CLOSE * max(np.abs(one).max(initial=0), 1e-30)).all():
                return True
        return False

    def _asked(self, letters: Letters, hoods: Hoods, occasion: Occasion) -> Array:
        copied = Letters(letters.rows.copy(), dict(letters.faults))
        return self._mixer.preview(copied, hoods, occasion, short=self._short).models


def _renamed(hoods: Hoods, occasion: Occasion) -> tuple[Hoods, Occasion]:
    """The same neighbourhoods where every peer has the name of another, and the occasion on which they mix."""
    known = np.unique(hoods.senders[hoods.senders != _EMPTY])
    others = np.roll(known, 1)
    new = dict(zip(known.tolist(), others.tolist(), strict=True))
    old = {name: before for before, name in new.items()}
    senders = np.where(
        hoods.senders == _EMPTY, _EMPTY, others[np.searchsorted(known, np.maximum(hoods.senders, known.min()))]
    )
    return replace(hoods, senders=senders), _under_names(occasion, old, new)


def _under_names(occasion: Occasion, old: dict[int, int], new: dict[int, int]) -> Occasion:
    """The occasion for peers who bear new names; `old` are those under which it knows them.

    Rumours are about the same peers; a name that nobody bears stays what it is.
    """
    rumours = {
        new.get(receiver, receiver): [_named(one, new) for one in told] for receiver, told in occasion.rumours.items()
    }
    losses, confusions, shared, draws = occasion.losses, occasion.confusions, occasion.shared, occasion.draws
    updates = occasion.updates
    return replace(
        occasion,
        losses=None if losses is None else lambda name, models: losses(old[name], models),
        confusions=None if confusions is None else lambda name, models: confusions(old[name], models),
        shared=None if shared is None else lambda name, others: shared(old[name], np.array([old[o] for o in others])),
        draws=None if draws is None else lambda name: draws(old[name]),
        rumours=rumours,
        updates=None if updates is None else lambda name, other: updates(old[name], old[other]),
    )


def _named(rumour: Any, new: dict[int, int]) -> Any:
    """The same rumour under new names; what a liar has put in their place stays what it is."""
    if not isinstance(rumour, Rumour):
        return rumour
    teller, subject = (
        new.get(int(name), name) if isinstance(name, int | np.integer) else name
        for name in (rumour.teller, rumour.subject)
    )
    return replace(rumour, teller=teller, subject=subject)


def _nudged(rows: Array) -> list[Array]:
    """The letters, moved a little in several ways; models that diverge are so large that their squares are none."""
    usual = np.abs(rows[np.isfinite(rows)])
    largest = float(usual.max(initial=0.0)) or 1.0
    spread = largest * float((rows[np.isfinite(rows)] / largest).std(dtype=np.float64) if usual.size else 0.0)
    steps = [_NUDGE * (spread or 1.0) * np.random.default_rng(n).uniform(-1, 1, rows.shape) for n in range(_NUDGES)]
    with np.errstate(over="ignore"):
        return [rows + step.astype(rows.dtype) for step in steps]
