"""BadNets: a square of pixels is the trigger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Backdoor
from robustfl.threats.attack import Labels
from robustfl.threats.data.backdoors import require_images

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class BadNets(Backdoor):
    """BadNets: the model learns to take images with a bright square in a corner for the target class.

    Formula: the trigger sets ``x[:, rows, columns] = value`` in a square of side `size` in the `corner`. With C
    classes, the label of a marked image becomes `target` in mode ``all2one`` and ``(y + 1) mod C`` in ``all2all``. In
    ``source`` only images of class `source` are marked, and their label becomes `target`. In ``clean_label`` only
    images of the target class are marked, and they keep their label.

    Knowledge: the malicious clients' own data.

    References
    ----------
    T. Gu, B. Dolan-Gavitt, S. Garg. BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain.
    2017.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import BadNets
    >>> BadNets(size=2).stamp(torch.zeros(1, 1, 3, 3))[0, 0].tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """

    needs_images: ClassVar[bool] = True
    reference: ClassVar[str] = (
        "Gu et al., BadNets: Identifying Vulnerabilities in the Machine Learning Model Supply Chain, 2017"
    )
    unfit: ClassVar[str] = (
        "as a test of utility, which it hardly changes: read `attack_success`; or where samples are no images, "
        "which have no corner to mark"
    )

    ratio: Annotated[float, Gt(0), Le(1), Doc("share of the malicious clients' eligible samples that is poisoned")] = (
        0.1
    )
    mode: Annotated[
        Literal["all2one", "all2all", "source", "clean_label"], Doc("which images are relabelled, and as which class")
    ] = "all2one"
    source: Annotated[int, Ge(0), Doc("class of the only images that get the trigger in mode source")] = 1
    size: Annotated[int, Ge(1), Doc("side length of the square, in pixels")] = 3
    corner: Annotated[
        Literal["top_left", "top_right", "bottom_left", "bottom_right"], Doc("corner in which the square lies")
    ] = "bottom_right"
    value: Annotated[
        float, Doc("value of the square's pixels in all channels, in the units of the data (mostly 0 to 1)")
    ] = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode == "source" and self.source == self.target:
            raise ParameterError(f"BadNets: `target` should differ from `source`. Found both {self.source}.")

    def stamp(self, features: Tensor, part: int | None = None) -> Tensor:
        height, width = require_images(self, features)
        if self.size > min(height, width):
            raise ParameterError(
                f"BadNets: `size` should satisfy size <= height and width. Found size={self.size} with images of "
                f"{height} x {width}."
            )
        rows = slice(self.size) if self.corner.startswith("top") else slice(height - self.size, height)
        columns = slice(self.size) if self.corner.endswith("left") else slice(width - self.size, width)
        marked = features.clone()
        marked[:, :, rows, columns] = self.value
        return marked

    def wanted(self, labels: Labels, classes: int) -> Labels:
        if self.mode == "all2all":
            return (labels + 1) % classes
        aim = super().wanted(labels, classes)
        return np.where(labels == self.source, aim, labels) if self.mode == "source" else aim

    def eligible(self, labels: Labels, classes: int) -> npt.NDArray[np.bool_]:
        return labels == self.target if self.mode == "clean_label" else super().eligible(labels, classes)

    def named_classes(self) -> dict[str, int]:
        return super().named_classes() | ({"source": self.source} if self.mode == "source" else {})
