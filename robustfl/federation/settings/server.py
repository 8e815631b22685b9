"""The settings of a server, and what it does about stale updates."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from annotated_types import Ge, Gt, Le, Lt
from pydantic import model_validator

from robustfl.federation.settings.base import Settings

Weights = Literal["polynomial", "constant", "hinge"]
"""How the weight of a message falls with the age of the model that it was computed with."""


class FirstOrder(Settings):
    """The server extrapolates stale updates to its newest model: ``g + strength g g (w_t - w_tau)``, value by value."""

    method: Literal["first_order"]
    """The name of this method."""
    strength: Annotated[float, Gt(0)] = 1.0
    """The factor before the squared gradient, which stands in for the curvature."""


class Inversion(Settings):
    """The server estimates from each stale update the samples behind it, and corrects the update by theirs.

    That is an attack on privacy, carried out by the server."""

    method: Literal["inversion"]
    """The name of this method."""
    iterations: Annotated[int, Ge(1), Le(100_000)] = 100
    """The number of steps that search for the samples of a message."""
    learning_rate: Annotated[float, Gt(0)] = 0.1
    """The step size of this search, in units of the range of the data."""
    unexplained: Annotated[float, Gt(0), Lt(1)] = 0.5
    """The largest share of an update's length that its estimated samples may leave unexplained; such an update is
    treated as if there was no repair."""
    patience: Annotated[int, Ge(1)] = 20
    """The number of comparisons after which the server gives up repairing for good when, looking back, it has been
    farther from what clients then sent than their old updates were."""
    otherwise: Weights = "constant"
    """The weights of stale updates that are not repaired."""


class Server(Settings):
    """How the server applies an aggregate to the global model."""

    optimizer: Literal["sgd", "adam"] = "sgd"
    """The optimiser that is applied to the aggregates: sgd (with momentum if wanted) or adam (FedAdam)."""
    learning_rate: Annotated[float, Gt(0)] = 0.5
    """The step size of the server; 1.0 with messages `delta` is plain FedAvg."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """The momentum of the server's optimiser (sgd only)."""
    trusted_samples: Annotated[int, Ge(1)] = 100
    """The number of clean training samples on which the server computes an update of its own, for rules that want one
    (FLTrust). They are a random choice in the class proportions of all training samples; clients keep them as well."""
    mode: Literal["synchronous", "asynchronous"] = "synchronous"
    """synchronous: a round waits for all clients of the round; asynchronous: the server makes a step whenever `buffer`
    messages have arrived, and clients work at their own speed."""
    buffer: Annotated[int, Ge(1)] = 5
    """The number of messages in one step of the server (asynchronous only); at most the number of clients."""
    staleness: Weights | FirstOrder | Inversion = "polynomial"
    """What becomes of a message that was computed with the model of tau steps ago (asynchronous only). It gets a
    weight: polynomial is (1 + tau)^-a, constant is 1, and hinge is 1 up to the grace b and 1/(a (tau - b) + 1) above.
    Or it is corrected and keeps the weight 1: by `{method: first_order}` or `{method: inversion}`."""
    staleness_exponent: Annotated[float, Gt(0)] = 0.5
    """The exponent a in the formulas of `staleness`."""
    staleness_grace: Annotated[int, Ge(0)] = 4
    """The grace b in the formula of the hinge, in steps of the server."""
    speed_spread: Annotated[float, Ge(0), Le(10)] = 1.0
    """The standard deviation of the logarithm of the clients' working times (asynchronous only)."""

    @property
    def asynchronous(self) -> bool:
        return self.mode == "asynchronous"

    @model_validator(mode="after")
    def _asynchronous_only(self) -> Self:
        names = ("buffer", "staleness", "staleness_exponent", "staleness_grace", "speed_spread")
        given = [name for name in names if getattr(self, name) != type(self).model_fields[name].default]
        if given and not self.asynchronous:
            raise ValueError(f"{', '.join(given)} belongs to `mode: asynchronous`, which is not given")
        return self

    @model_validator(mode="after")
    def _of_one_formula(self) -> Self:
        if self.momentum and self.optimizer == "adam":
            raise ValueError(
                f"momentum={self.momentum} belongs to `optimizer: sgd`; adam has its own. Leave it out. Lists of whole "
                "servers, each with what belongs to it, make a grid"
            )
        used = {"polynomial": ("staleness_exponent",), "hinge": ("staleness_exponent", "staleness_grace")}
        formula = self.staleness if isinstance(self.staleness, str) else getattr(self.staleness, "otherwise", "")
        for name in ("staleness_exponent", "staleness_grace"):
            value = getattr(self, name)
            if name not in used.get(formula, ()) and value != type(self).model_fields[name].default:
                raise ValueError(f"{name}={value} is no part of the formula that `staleness` names. Leave it out")
        return self
