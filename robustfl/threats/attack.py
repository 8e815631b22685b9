"""What all attacks on training have in common: the surface, the knowledge and the rounds in which they act."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

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
    """Anything that malicious clients do in the rounds `start_round, start_round + every, ... < stop_round`.

    In all other rounds the malicious clients behave honestly. A later `start_round` is therefore an attack by clients
    that first behave well.
    """

    surface: ClassVar[str] = ""
    """What it acts on: updates, data, rankings, ...; the folder of attacks that holds its file has the same name."""
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING
    channels: ClassVar[tuple[str, ...] | None] = None
    """Channels of the defenses that the attack can be played against; None stands for all, as for attacks on data."""
    needs_images: ClassVar[bool] = False
    """Whether the samples of the task have to be images [channels, height, width]."""
    made_for: ClassVar[tuple[str, ...]] = ()
    """Names of the rules that the attack was designed against; a score of such a rule says little without it."""

    start_round: Annotated[int, Ge(0), Doc("first round of the attack")] = 0
    stop_round: Annotated[
        int | None, Ge(0), Doc("round in which the attack ends; it goes on to the last round when not given")
    ] = None
    every: Annotated[
        int, Ge(1), Doc("number of rounds from one attacked round to the next; 1 attacks in every round")
    ] = 1

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        declared = vars(cls).get("knowledge", Knowledge.NOTHING)
        if not isinstance(declared, Knowledge | property):  # nobody could tell what it may look at
            raise ParameterError(
                f"{cls.__name__}: `knowledge` should be a robustfl.threats.Knowledge, such as Knowledge.PEERS. "
                f"Found {declared!r}."
            )

    @classmethod
    def concerns(cls, defense: Any) -> bool:
        """Whether it does anything to a rule that it is made for, with the parameters that this one has."""
        return True

    def require_data(self, shape: tuple[int, ...], classes: int) -> None:
        """Check that the attack can be played on samples of this shape and of so many classes.

        Nothing is checked unless this is overridden. Overrides raise ParameterError.
        """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_round is not None and self.stop_round <= self.start_round:
            raise ParameterError(
                f"{type(self).__name__}: `stop_round` should satisfy stop_round > start_round, or the attack never "
                f"acts. Found start_round={self.start_round}, stop_round={self.stop_round}."
            )

    def required_knowledge(self) -> Knowledge:
        """The knowledge that the attack needs with these hyper-parameters: `knowledge`, unless overridden."""
        return self.knowledge

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel."""
        return self.channels is None or channel in self.channels

    def confusion(self) -> tuple[int, int] | None:
        """The class that the model should mistake, and the class that it should take it for; None without this aim."""
        return None

    def active(self, number: int) -> bool:
        """Whether the attack acts in round `number`."""
        started = number >= self.start_round and (number - self.start_round) % self.every == 0
        return started and (self.stop_round is None or number < self.stop_round)


class Staged:
    """What attacks of two stages have in common: how they are written, and the parts that they consist of."""

    first: Any
    then: Any

    def __repr__(self) -> str:
        return f"{self.first!r} >> {self.then!r}"

    def __str__(self) -> str:
        return f"{self.first} > {self.then}"

    @property
    def stages(self) -> tuple[Component, ...]:
        return *self.first.stages, *self.then.stages

    def required_knowledge(self) -> Knowledge:
        """The knowledge that the attack needs."""
        needed: Knowledge = self.then.required_knowledge()
        return needed


class CarriedOut(Staged):
    """An attack of which the first stage says by whom it is carried out, and nothing else."""

    @property
    def surface(self) -> str:
        """The surface of the attack."""
        surface: str = self.then.surface
        return surface

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel."""
        fits: bool = self.then.fits(channel)
        return fits
