"""Was a sample among the training data? Statistics of membership inference, on plain arrays.

What a model says about a sample is its :func:`confidence` φ: the logit of the probability that it gives to the true
class. It is larger for samples that the model was trained on, but also for easy ones. Shadow models tell the two apart.
They are trained like the target on other choices from the same samples, so they say how confident a model is that does
not know this sample (:class:`Shadows`). Every statistic gives one score a sample; higher means more likely a member.

>>> import numpy as np
>>> shadows = Shadows(
...     confidences=np.array([[1.0, 3.0], [2.0, 5.0], [6.0, 4.0]]),
...     inside=np.array([[False, False], [False, True], [True, False]]),
... )
>>> target = np.array([4.0, 3.5])  # far above what others say of the first sample, usual for the second
>>> shadows.one_sided(target).round(3)
array([3.536, 0.   ])
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from robustfl.errors import ParameterError
from robustfl.privacy.pairs import FloatArray

Mask = NDArray[np.bool_]
Labels = NDArray[np.int64]


def confidence(logits: ArrayLike, labels: ArrayLike) -> FloatArray:
    """The logit of the probability of the true class, in double precision: how sure the model is of it.

    Formula: ``φ = z_y − log Σ_{j≠y} e^{z_j} = log(p_y / (1 − p_y))``. It is computed from the logits: from the
    probability, which is rounded to 1, all samples that a model knows well would be equal.

    Shapes: logits [..., m, classes] with at least 2 classes, labels [m] -> [..., m]. Finite logits of any size give
    finite confidences.

    Raises ParameterError for logits that are not finite, and for labels that are no classes.
    """
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if z.ndim < 2 or z.shape[-1] < 2 or y.shape != z.shape[-2:-1] or y.dtype.kind not in "iu":
        raise ParameterError(
            "`logits` should be [..., m, classes] with at least 2 classes, and `labels` [m] whole numbers. Found "
            f"{list(z.shape)} and {y.dtype} {list(y.shape)}."
        )
    if y.size and not 0 <= y.min() <= y.max() < z.shape[-1]:
        raise ParameterError(f"Labels should lie in 0 to {z.shape[-1] - 1}. Found {y.min()} to {y.max()}.")
    if not np.isfinite(z).all():
        raise ParameterError("Logits should be finite. A model whose logits are not has diverged; leave it out.")
    place = np.broadcast_to(y[:, None], (*z.shape[:-1], 1))
    others = z.copy()
    np.put_along_axis(others, place, -np.inf, axis=-1)
    answer: FloatArray = np.take_along_axis(z, place, axis=-1)[..., 0] - special.logsumexp(others, axis=-1)
    return answer


def log_likelihood(confidences: ArrayLike) -> FloatArray:
    """Minus the loss: ``log p_y = −log(1 + e^{−φ})``, of any shape. The simplest statistic: members have less loss.

    Reference: Yeom et al., "Privacy Risk in Machine Learning: Analyzing the Connection to Overfitting", CSF 2018.
    """
    answer: FloatArray = special.log_expit(np.asarray(confidences, dtype=np.float64))
    return answer


@dataclass(frozen=True, kw_only=True, eq=False)
class Shadows:
    """What shadow models say about samples, and which of these were among their training data.

    Every sample needs a model that does not know it. Whether a model is a shadow must not depend on whether the target
    knows the sample, or the mere number of shadows would tell who is a member.

    Raises ParameterError for numbers that are not finite, for other shapes, and for samples that every model knows.

    Attributes
    ----------
    confidences : [s, m] what :func:`confidence` says of s models
    inside : [s, m] whether the sample was among the model's training data
    """

    confidences: FloatArray
    inside: Mask

    def __post_init__(self) -> None:
        known, inside = np.asarray(self.confidences, dtype=np.float64), np.asarray(self.inside)
        if known.ndim != 2 or not known.size or inside.shape != known.shape or inside.dtype != np.bool_:
            raise ParameterError(
                "Shadows: `confidences` should be [models, samples], with a truth value for each in `inside`. Found "
                f"{list(known.shape)} and {inside.dtype} {list(inside.shape)}."
            )
        if not np.isfinite(known).all():
            raise ParameterError("Shadows: confidences should be finite. Leave out models that have diverged.")
        if inside.all(axis=0).any():
            raise ParameterError(
                "Shadows: every sample needs a model that does not know it. Found "
                f"{int(inside.all(axis=0).sum())} samples that all {len(inside)} models know. Leave these out."
            )
        object.__setattr__(self, "confidences", known)

    def one_sided(self, target: ArrayLike, *, pooled: bool = True) -> FloatArray:
        """How far the target's confidence [m] is above those of models that do not know the sample (LiRA offline) [m].

        Formula: ``(φ − median_out) / σ_out``. The deviation σ is common to all samples when it is `pooled`, as few
        shadows cannot tell the deviation of each; then scores are z-scores of one scale. Only the upper side counts: a
        density would also call samples members of which the target is unusually *unsure*.

        Reference: Carlini et al., "Membership Inference Attacks From First Principles", S&P 2022.
        """
        centre = np.nanmedian(np.where(self.inside, np.nan, self.confidences), axis=0)
        scores: FloatArray = (self._fit(target) - centre) / self._deviation(~self.inside, pooled)
        return scores

    def two_models(self, target: ArrayLike, *, pooled: bool = True) -> FloatArray:
        """How much likelier the confidence is among models that know the sample than among others (LiRA online) [m].

        Formula: ``log N(φ; μ_in, σ_in²) − log N(φ; μ_out, σ_out²)``; `pooled` is as in :meth:`one_sided`.

        Raises ParameterError when no model knows some sample.
        """
        if not self.inside.any(axis=0).all():
            raise ParameterError(
                "Shadows: this statistic needs a model for each sample that knows it. Found "
                f"{int((~self.inside.any(axis=0)).sum())} samples without one. Leave these out, or take `one_sided`."
            )
        phi, likelihoods = self._fit(target), []
        for chosen in (self.inside, ~self.inside):
            deviation = self._deviation(chosen, pooled)
            z = (phi - self._means(chosen)) / deviation
            likelihoods.append(-z * z / 2 - np.log(deviation))
        return likelihoods[0] - likelihoods[1]

    def relative(
        self, target: ArrayLike, population: ArrayLike, population_target: ArrayLike, *, a: float = 0.3
    ) -> FloatArray:
        """The share of other samples that the target has raised no more above the shadows than this one (RMIA) [m].

        Formula: ``r(x) = p(x) / (½ ((1 + a) p̄_out(x) + 1 − a))`` with the probability p of the true class, and the
        score is the share of samples z of a population with ``r(z) <= r(x)``. The factor estimates from the models that
        do not know x the mean over models that do and do not: with a = 1 they are equal, with a = 0 those that know it
        are sure of it.

        Reference: Zarifzadeh, Liu and Shokri, "Low-Cost High-Power Membership Inference Attacks", ICML 2024.

        Parameters
        ----------
        population : [s, q] confidences of the same shadow models in samples that no model was trained on
        population_target : [q] those of the target
        """
        if not 0 <= a <= 1:
            raise ParameterError(f"`a` should satisfy 0 <= a <= 1. Found a={a}.")
        outside = Shadows(confidences=np.asarray(population), inside=np.zeros(np.shape(population), dtype=np.bool_))
        if len(outside.confidences) != len(self.confidences):
            raise ParameterError(
                "`population` should hold the confidences of the same models. Found "
                f"{len(outside.confidences)} and {len(self.confidences)}."
            )
        reference = np.sort(outside._raised(population_target, a))
        answer: FloatArray = np.searchsorted(reference, self._raised(target, a), side="right") / len(reference)
        return answer

    def deviation(self) -> float:
        """The pooled standard deviation σ_out of models that do not know a sample, around its mean."""
        return float(self._deviation(~self.inside, pooled=True))

    def _raised(self, target: ArrayLike, a: float) -> FloatArray:
        p: FloatArray = special.expit(self._fit(target))
        known: FloatArray = np.where(self.inside, 0.0, special.expit(self.confidences)).sum(axis=0) / self._outside
        bottom = ((1 + a) * known + 1 - a) / 2
        raised: FloatArray = np.where(p > 0, np.inf, 1.0)  # where shadows give no weight at all, as they may for a = 1
        return np.divide(p, bottom, out=raised, where=bottom > 0)

    @cached_property
    def _outside(self) -> NDArray[np.int64]:
        counted: NDArray[np.int64] = (~self.inside).sum(axis=0)
        return counted

    def _means(self, chosen: Mask) -> FloatArray:
        answer: FloatArray = np.where(chosen, self.confidences, 0.0).sum(axis=0) / np.maximum(chosen.sum(axis=0), 1)
        return answer

    def _deviation(self, chosen: Mask, pooled: bool) -> FloatArray:
        """σ of the chosen models around the mean of each sample: a number, or one per sample [m].

        Where all models agree, so that nothing can be divided by, it is 1, and scores are plain differences.
        """
        squares = np.where(chosen, (self.confidences - self._means(chosen)) ** 2, 0.0).sum(axis=0)
        free = np.maximum(chosen.sum(axis=0) - 1, 0)
        if pooled:
            squares, free = squares.sum(), free.sum()
        sigma = np.sqrt(squares / np.maximum(free, 1))
        answer: FloatArray = np.where(sigma > 0, sigma, 1.0)
        return answer

    def _fit(self, target: ArrayLike) -> FloatArray:
        phi = np.asarray(target, dtype=np.float64)
        if phi.shape != self.confidences.shape[1:] or not np.isfinite(phi).all():
            raise ParameterError(
                f"The target should have a finite confidence in each of the {self.confidences.shape[1]} samples. "
                f"Found {list(phi.shape)}, of which {int((~np.isfinite(phi)).sum())} are not finite."
            )
        return phi
