"""What a suite says about spies: who watches the clients, with which attacks on privacy, and what of the training."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Len
from pydantic import model_validator

from robustfl.errors import ParameterError
from robustfl.evaluation.specs import PartSchema, reader, writer
from robustfl.federation.settings import Federation, Settings
from robustfl.federation.spying.plan import Spying
from robustfl.privacy.rotation import FEWEST_RUNS
from robustfl.threats import PrivacyAttack

AttackPart = Annotated[Any, PartSchema("attack"), reader("attack"), writer]


class Privacy(Settings):
    """Who watches the clients of every trial, and what it tries to find out about their data."""

    observer: Literal["server", "wire", "sum", "active", "participant", "public"] = "server"
    """Who watches: the server, which sees every message; the wire, which sees the same; a server behind secure
    aggregation, which sees sums (sum); a server that also chooses the models of clients (active); a client, which sees
    the model of each round (participant); or anybody, who sees the final model (public)."""
    attacks: Annotated[tuple[AttackPart, ...], Len(1)]
    """The attacks on privacy that the observer tries."""
    rounds: Annotated[tuple[Annotated[int, Ge(0)] | Literal["first", "middle", "last"], ...], Len(1)] = (
        "first",
        "middle",
        "last",
    )
    """The watched rounds: numbers from 0, or the words first, middle and last."""
    targets: Annotated[int, Ge(1)] = 5
    """The largest number of clients that are spied on in a watched round."""
    federations: Annotated[int, Ge(FEWEST_RUNS)] = 17
    """The number of federations that are trained like that of the trial, each on its own half of the samples, if
    attacks judge who was a member: each is their target once, and the others are its shadows."""
    under_attack: bool = False
    """Whether trials with malicious clients are watched as well; messages of honest clients depend on them only through
    the model."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for attack in self.attacks:
            if not isinstance(attack, PrivacyAttack):
                raise ValueError(f"{attack} is no attack on privacy")
        labels = [str(attack) for attack in self.attacks]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"attacks on privacy that are listed twice: {', '.join(twice)}")
        try:
            self.spying()
        except ParameterError as error:
            raise ValueError(str(error)) from None
        return self

    def spying(self) -> Spying:
        """The same for a simulation."""
        return Spying(
            observer=self.observer,
            attacks=self.attacks,
            rounds=self.rounds,
            targets=self.targets,
            federations=self.federations,
        )

    def require(self, federation: Federation) -> None:
        """Raise ValueError for a watched round that the training lacks, and for steps that attacks do not know."""
        try:
            self.spying().numbers(federation.rounds)
            self.spying().require_plain_steps(federation)
        except ParameterError as error:
            raise ValueError(f"privacy: {error}") from None
