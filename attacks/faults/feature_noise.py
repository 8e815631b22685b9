"""Clients with poor sensors, or with a wrong normalisation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Gt
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Fault, LocalData


@dataclass(frozen=True, kw_only=True)
class FeatureNoise(Fault):
    """Feature noise: the training features are noisy, or were normalised in the wrong way.

    Formula: ``gaussian`` makes ``x + N(0, scale^2)`` of every value. The noise is drawn once, and the result is not
    clamped to a range. ``swapped`` is a client that exchanged the mean m and the standard deviation s of its features
    when it normalised them, and got ``(x - s)/m``. Read with the right normalisation, that is ``m + (x - s) s/m``.

    References
    ----------
    D. Hendrycks, T. Dietterich. Benchmarking Neural Network Robustness to Common Corruptions and Perturbations.
    ICLR 2019.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from robustfl.attacks import FeatureNoise
    >>> from robustfl.threats import LocalData
    >>> local = LocalData(features=torch.tensor([[1.0], [3.0]]), labels=np.zeros(2), classes=2, drawn=np.arange(2))
    >>> FeatureNoise(mode="swapped").data(local, np.random.default_rng(0)).features.tolist()  # m = 2, s = 1
    [[2.0], [3.0]]
    """

    reference: ClassVar[str] = (
        "Hendrycks, Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, "
        "ICLR 2019"
    )
    unfit: ClassVar[str] = "for noise at test time, as test samples stay as they are"
    label_parameters: ClassVar[tuple[str, ...]] = ("mode",)

    mode: Annotated[Literal["gaussian", "swapped"], Doc("what is wrong with the features")] = "gaussian"
    scale: Annotated[
        float, Gt(0), Doc("standard deviation of the noise of mode gaussian, in the units of the data")
    ] = 0.1

    def data(self, local: LocalData, rng: np.random.Generator) -> LocalData:
        features = local.features
        if self.mode == "gaussian":
            noise = rng.standard_normal(tuple(features.shape), dtype=np.float32)
            return replace(local, features=features + self.scale * features.new_tensor(noise))
        mean, spread = float(features.mean()), float(features.std(correction=0))
        if abs(mean) <= 1e-3 * spread:
            raise ParameterError(
                f"FeatureNoise: mode 'swapped' divides by the mean of a client's features, which should differ from 0. "
                f"Found a mean of {mean:.3g} and a standard deviation of {spread:.3g}: take the mode 'gaussian'."
            )
        return replace(local, features=mean + (features - spread) * (spread / mean))
