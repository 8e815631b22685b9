"""What an attack on privacy answers: samples, labels, or who was a member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robustfl.errors import AttackError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Reconstruction:
    """Samples that an attack takes for those of the senders.

    Attributes
    ----------
    features : for each of the k sightings the samples [m_i, *shape] that the attack hands in, the one that it trusts
        most first; m_i may differ, and is 0 where it found nothing
    labels : for each sighting the labels [m_i] of these samples; None where the attack does not say
    certified : [k] how many of the samples, from the first, the attack knows to be exact; None without certificates
    losses : [k] how badly the samples explain the message: the attack's own objective; None if it has none
    oracle_rows : whether more samples may be handed in than there are, so that the best of them count; results are then
        marked
    """

    features: Sequence[Tensor]
    labels: Sequence[Tensor] | None = None
    certified: Tensor | None = None
    losses: Tensor | None = None
    oracle_rows: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """How many samples of each class the senders had.

    Attributes
    ----------
    counts : [k, C] for each sighting the number of samples of each class
    """

    counts: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Memberships:
    """How likely each candidate is one of the samples on which was trained.

    Attributes
    ----------
    scores : [k, q] for each sighting and each of the view's candidates a score that is higher for members; scores of
        different sightings are not compared with each other
    """

    scores: Tensor


Finding = Reconstruction | Labels | Memberships


def require_finding(
    finding: Finding, *, owner: str, sightings: int, shape: tuple[int, ...], classes: int, candidates: int
) -> None:
    """Raise AttackError when an answer does not have the shape that the view asks for, or scores are not finite.

    Samples may be anything: what is not finite is not counted as found.
    """
    import torch

    def wrong(wanted: str, found: object) -> AttackError:
        return AttackError(f"{owner} should return {wanted}. Found {found}.")

    if isinstance(finding, Reconstruction):
        if len(finding.features) != sightings:
            raise wrong(f"samples for each of {sightings} sightings", len(finding.features))
        for place, part in enumerate(finding.features):
            if not isinstance(part, torch.Tensor) or tuple(part.shape[1:]) != shape or not part.is_floating_point():
                raise wrong(f"floating-point samples [m, *{list(shape)}]", getattr(part, "shape", type(part)))
            if finding.labels is not None and finding.labels[place].shape != part.shape[:1]:
                raise wrong("one label for each sample", tuple(finding.labels[place].shape))
        for name in ("certified", "losses"):
            value = getattr(finding, name)
            if value is not None and tuple(value.shape) != (sightings,):
                raise wrong(f"`{name}` [{sightings}]", tuple(value.shape))
    elif isinstance(finding, Labels):
        if tuple(finding.counts.shape) != (sightings, classes) or not bool(
            ((finding.counts >= 0) & finding.counts.isfinite()).all()
        ):
            raise wrong(f"counts [{sightings}, {classes}] from 0", tuple(finding.counts.shape))
    elif isinstance(finding, Memberships):
        if tuple(finding.scores.shape) != (sightings, candidates) or not bool(finding.scores.isfinite().all()):
            raise wrong(f"finite scores [{sightings}, {candidates}]", tuple(finding.scores.shape))
    else:
        raise wrong("a Reconstruction, Labels or Memberships", type(finding).__name__)
