"""What attacks have in common that search for samples whose gradient is the one that was seen."""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats.privacy.capability import TO_GRADIENTS, Capability
from robustfl.threats.privacy.contract import PrivacyAttack
from robustfl.threats.privacy.findings import Reconstruction
from robustfl.threats.privacy.view import Circumstances, PrivacyView

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.privacy.inversion import Target
    from robustfl.threats.privacy.network import Network


@dataclass(frozen=True, kw_only=True)
class Optimising(PrivacyAttack, ABC):
    """Searches for samples that explain a message, all of them as one batch."""

    observers: ClassVar[tuple[str, ...]] = ("server", "wire", "sum")
    knowledge: ClassVar[Capability] = (
        Capability.SUM | Capability.MODEL | Capability.LOSS | Capability.BATCH_SIZE | TO_GRADIENTS
    )

    labels: Annotated[
        Literal["features", "auxiliary", "uniform", "given"],
        Doc("how labels are found, see `label_counts`; `given` takes the true ones, which no spy has"),
    ] = "features"
    samples: Annotated[
        int | None,
        Ge(1),
        Doc("how many different samples of a client its local steps share, if they are one batch; None if no two do"),
    ] = None

    def required_knowledge(self) -> Capability:
        more = {"auxiliary": Capability.AUX, "given": Capability.LABELS}.get(self.labels, Capability.NOTHING)
        return self.knowledge | more

    def not_applicable(self, about: Circumstances, network: Network) -> str | None:
        if self.labels != "given" and network.last is None:
            return "the last layer of the model is not linear with a bias, so that labels cannot be read off"
        return None

    def told_apart(self, view: PrivacyView) -> int:
        """The number of local steps of which each has samples of its own; 1 where all are one batch."""
        return 1

    def target(self, view: PrivacyView) -> Target:
        """What is searched for, for every sighting of the view.

        The samples of a sum of several senders are one batch.
        """
        import torch

        from robustfl.threats.privacy.inversion import Target
        from robustfl.threats.privacy.labels import counted, label_counts, listed

        steps, senders = self.told_apart(view), max(len(found) for found in view.senders)
        total = (self.samples or view.batch_size * view.steps) * senders
        gradients = view.gradients()
        if self.labels == "given":
            labels = view.labels
            if self.samples is not None:
                found = [row.bincount(minlength=view.classes) for row in labels]
                labels = listed(counted(torch.stack(found), total))
        else:
            public = view.auxiliary if self.labels == "auxiliary" else None
            labels = listed(
                label_counts(view.network, view.models, gradients, total, method=self.labels, auxiliary=public)
            )
            labels = labels.reshape(len(view), -1, steps).transpose(1, 2)  # each class goes to all steps in turn
        return Target(
            network=view.network,
            models=view.models,
            gradients=gradients,
            labels=labels.reshape(len(view), steps, -1),
            rate=view.learning_rate,
            low=view.low,
            high=view.high,
            images=view.images,
        )

    def handed_in(self, view: PrivacyView, target: Target, found: Tensor, losses: Tensor) -> Reconstruction:
        """The answer for samples [k, T, b, *shape] that were found."""
        return Reconstruction(
            features=list(found.detach().flatten(1, 2)),
            labels=list(target.labels.flatten(1, 2)) if target.labels.ndim == 3 else None,
            losses=losses.detach(),
        )


@dataclass(frozen=True, kw_only=True)
class Unrolling(Optimising, ABC):
    """Searches for samples that explain a message, step by step where a client made several local steps."""

    local: Annotated[
        Literal["unrolled", "one_batch"],
        Doc("how several local steps are explained: step by step, or as one gradient of all their samples"),
    ] = "unrolled"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.samples is not None and self.local == "unrolled":
            raise ParameterError(
                f"{type(self).__name__}: `samples` is for local='one_batch', as unrolled steps have each its own. "
                f"Found samples={self.samples} and local={self.local!r}."
            )

    def told_apart(self, view: PrivacyView) -> int:
        return view.steps if self.local == "unrolled" and all(len(found) == 1 for found in view.senders) else 1
