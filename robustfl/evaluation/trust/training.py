"""Remarks on the undisturbed training of a world: it was not finished, its step was too large, or it learnt little."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from scipy import special

from robustfl.evaluation.labels import ACCURACIES
from robustfl.evaluation.results.summaries import ScoredWorldReport
from robustfl.evaluation.statistics import standard_error
from robustfl.evaluation.trust.remark import Remark, make_remark

STILL_RISING = 0.02
"""A training that gains more utility than this in a tenth of its rounds has not ended."""

FAR_BELOW = 0.8
"""A training is far below another when it has learnt less than this share of what the other has."""

STABLE = 1.0
"""The largest instability of a stable step, see :func:`robustfl.federation.curvature.stable_curvature`."""

UNSHARP = 0.1
"""A utility that is not known more precisely than this, whatever the defense, says little."""

_LEVEL = 0.05


def training_remarks(world: ScoredWorldReport, accuracy: str) -> Iterator[Remark]:
    """The remarks on the training of a world; `accuracy` is the measure from which its utilities are made."""
    level, training = world["baseline"]["mean"], world.get("training")
    if level is None:
        return
    words = ACCURACIES.get(accuracy, accuracy)
    if training is not None:
        yield from _not_trained(world, words)
        yield from _unstable(world, [value for value in training["instability"] if value is not None])
    if world["informative"]:
        yield from _short_scale(world, level, words)


def unfinished(world: ScoredWorldReport, words: str = "accuracy") -> list[str]:
    """Why the undisturbed training of a world has not ended, in words; nothing where it has, or where that is unknown.

    `words` is what the measure is called from which the utilities are made.
    """
    level, training = world["baseline"]["mean"], world.get("training")
    if level is None or training is None:
        return []
    rises = [value for value in training["rise"] if value is not None]
    bases = world["baseline"].get("per_seed", [])
    pairs = [(b, c) for b, c in zip(bases, training["central"], strict=False) if b is not None and c is not None]
    learnt = level - world["chance"]
    reasons = []
    if rises and learnt > 0 and np.mean(rises) / learnt > STILL_RISING and beyond_chance(rises):
        reasons.append(
            f"its {words} of {level:.3f} still rises in the end, by {np.mean(rises):.3f} in a tenth of the rounds "
            f"({np.mean(rises) / learnt:.0%} of all that it has learnt)"
        )
    if pairs:
        # how much is missing to the share of the central training below which a world is far from trained
        missing = [FAR_BELOW * (central - world["chance"]) - (base - world["chance"]) for base, central in pairs]
        if np.mean(missing) > 0 and (len(missing) == 1 or beyond_chance(missing)):
            central = float(np.mean([central for _, central in pairs]))
            reasons.append(
                f"it reaches a {words} of {level:.3f}, and training on all data at once {central:.3f} in as many steps"
            )
    return reasons


def _not_trained(world: ScoredWorldReport, words: str) -> Iterator[Remark]:
    if reasons := unfinished(world, words):
        message = (
            f"Plain averaging without any attack has not finished training here: {'; '.join(reasons)}. Utilities then "
            "say how fast models learn as well as what defenses withstand, and attacks look weak where little is there "
            "to destroy. Train longer or with a better learning rate before you add attacks or trust ranks."
        )
        yield make_remark("NOT_TRAINED", "warning", message, world=world["world"])


def _unstable(world: ScoredWorldReport, instability: Sequence[float]) -> Iterator[Remark]:
    if not instability or np.mean(instability) <= STABLE:
        return
    training = world.get("training")
    assert training is not None
    sharpness = np.mean([value for value in training["sharpness"] if value is not None])
    message = (
        f"The step of this training is {np.mean(instability):.1f} times what its loss can bear: the largest eigenvalue "
        f"of the Hessian is about {sharpness:.1f} over most of the rounds. Accuracy then jumps from round to round "
        "without any attack, so much of every score here is noise, and small pushes of an attacker grow by themselves. "
        "Lower the learning rate and train for more rounds, or call this a stress test."
    )
    yield make_remark("UNSTABLE_STEP", "warning", message, world=world["world"])


def _short_scale(world: ScoredWorldReport, level: float, words: str) -> Iterator[Remark]:
    """The error of a utility that comes from the scale: the test set is finite, and the baseline has few seeds.

    The test set is taken at the accuracy between guessing and the baseline at which its error is largest.
    """
    scale = level - world["chance"]
    bases = [value for value in world["baseline"].get("per_seed", []) if value is not None]
    tested = world.get("effective_test_size", world["test_size"])
    seeds = standard_error(bases) if len(bases) > 1 else 0.0
    between = min(max(0.5, world["chance"]), level)
    error = 2 * math.hypot(math.sqrt(max(0.0, between * (1 - between)) / tested), seeds) / scale
    if error > UNSHARP:
        message = (
            f"Between guessing ({world['chance']:.3f}) and undisturbed training ({level:.3f}) lie only {scale:.3f} of "
            f"{words}, which {world['test_size']} test samples and {len(world['seeds'])} seeds do not resolve: a "
            f"utility here may be off by {error:.2f}, whatever the defense. Use a larger test set, more seeds, "
            "or a measure in which guessing reaches less (`score.accuracy: balanced_accuracy`)."
        )
        yield make_remark("SHORT_SCALE", "warning", message, world=world["world"])


def beyond_chance(values: Sequence[float]) -> bool:
    """Whether a mean is above 0 by a one-sided t test at 5 % over the seeds; never with a single one."""
    if len(values) < 2:
        return False
    limit = float(special.stdtrit(len(values) - 1, 1 - _LEVEL))
    return float(np.mean(values)) > limit * standard_error(values)
