"""Numbers of malicious clients that leave no honest one are refused before anything runs: no defense is to blame."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from robustfl.evaluation.suite.standard import Opponent
from robustfl.threats.staging import identities_of


def require_honest(name: str, f: int, clients: int) -> None:
    """Raise ValueError unless a number of malicious clients leaves at least one honest client."""
    if f >= clients:
        raise ValueError(_too_many(name, f, clients))


def require_counts(grid: Sequence[int], declared: int | None, clients: int, attacks: Sequence[Opponent]) -> None:
    """Refuse numbers under `adversary` of a suite whose smallest world has so many clients; each by its own key.

    With identities there may be more of them to declare than there are clients.
    """
    told: list[tuple[tuple[str | int, ...], str, int]] = [
        (("adversary", "f", number), "f", f) for number, f in enumerate(grid)
    ]
    if declared is not None and all(identities_of(attack) is None for attack in attacks):
        told.append((("adversary", "declared"), "declared", declared))
    errors: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("count", "{reason}", {"reason": _too_many(name, f, clients)}),
            "loc": key,
            "input": f,
        }
        for key, name, f in told
        if f >= clients
    ]
    if errors:
        raise ValidationError.from_exception_data("Suite", errors)


def _too_many(name: str, f: int, clients: int) -> str:
    return (
        f"`{name}` should be less than the number of clients, since at least one of them has to be honest. "
        f"Found {name}={f}, clients={clients}. Give a smaller number, or more clients"
    )
