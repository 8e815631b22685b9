"""The attack surfaces, one contract each. Authors write the mathematics; the machine checks the rest."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import ParameterError
from robustfl.threats.knowledge import Knowledge

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Attack(Component, ABC):
    """Anything that malicious clients do; active in rounds `start_round, start_round + every, ... < stop_round`.

    Outside its window the malicious clients behave honestly, which is how behave-then-attack is written.
    """

    surface: ClassVar[str] = ""
    """What it acts on: updates, data, rankings, ...; the folder of attacks that holds its file has the same name."""
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING
    channels: ClassVar[tuple[str, ...] | None] = None
    """Channels of the defenses that it can be played against; None for all, as for attacks on data."""
    needs_images: ClassVar[bool] = False
    """Whether samples have to be images, [channels, height, width]."""
    made_for: ClassVar[tuple[str, ...]] = ()
    """Names of the rules that it was designed against: a score of such a rule without it says little."""

    start_round: Annotated[int, Ge(0), Doc("first round of the attack")] = 0
    stop_round: Annotated[int | None, Ge(0), Doc("first round without the attack again; never when not given")] = None
    every: Annotated[int, Ge(1), Doc("attack in every so many rounds")] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_round is not None and self.stop_round <= self.start_round:
            raise ParameterError(
                f"{type(self).__name__}: `stop_round` should satisfy stop_round > start_round, or the attack never "
                f"acts. Found start_round={self.start_round}, stop_round={self.stop_round}."
            )

    def required_knowledge(self) -> Knowledge:
        """What these hyper-parameters need; the class attribute `knowledge` unless overridden."""
        return self.knowledge

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel."""
        return self.channels is None or channel in self.channels

    def confusion(self) -> tuple[int, int] | None:
        """The class that should be taken for another, and that other, where this is the attack's aim."""
        return None

    def active(self, number: int) -> bool:
        """Whether the attack acts in round `number`."""
        started = number >= self.start_round and (number - self.start_round) % self.every == 0
        return started and (self.stop_round is None or number < self.stop_round)
