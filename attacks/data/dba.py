"""The distributed backdoor attack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.errors import ParameterError
from robustfl.threats import Backdoor
from robustfl.threats.data.backdoors import require_images

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class DBA(Backdoor):
    """DBA: each malicious client trains on one bar of a trigger of four bars; the whole trigger is tested.

    Formula: a bar is one pixel high and `length` pixels wide. The bars lie in rows 0 and ``gap + 1`` and start at
    columns 0 and ``length + gap``. The malicious client with number k marks its images with bar ``k mod 4``. The
    published values are length 4 and gap 2 on images of 28 x 28, and length 6 and gap 3 on images of 32 x 32.

    Knowledge: the malicious clients' own data.

    References
    ----------
    C. Xie, K. Huang, P.-Y. Chen, B. Li. DBA: Distributed Backdoor Attacks against Federated Learning. ICLR 2020.

    Examples
    --------
    >>> import torch
    >>> from robustfl.attacks import DBA
    >>> blank = torch.zeros(1, 1, 4, 6)
    >>> DBA(gap=2).stamp(blank)[0, 0].int().tolist()
    [[1, 1, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0], [1, 1, 0, 0, 1, 1]]
    >>> DBA(gap=2).stamp(blank, part=1)[0, 0, 0].int().tolist()
    [0, 0, 0, 0, 1, 1]
    """

    label: ClassVar[str] = "DBA"
    needs_images: ClassVar[bool] = True
    reference: ClassVar[str] = "Xie et al., DBA: Distributed Backdoor Attacks against Federated Learning, ICLR 2020"
    unfit: ClassVar[str] = (
        "with fewer than four malicious clients, as nobody then trains on some bars of the trigger; or where "
        "samples are no images"
    )

    target: Annotated[int, Ge(0), Doc("class that samples with the trigger should be taken for")] = 2
    ratio: Annotated[float, Gt(0), Le(1), Doc("share of the malicious clients' eligible samples that is poisoned")] = (
        20 / 64
    )
    length: Annotated[int | None, Ge(1), Doc("length of a bar in pixels; when not given, 4 or as many as fit")] = None
    gap: Annotated[int, Ge(0), Doc("number of pixels between two bars, vertically and horizontally")] = 2
    value: Annotated[
        float, Doc("value of the bars' pixels in all channels, in the units of the data (mostly 0 to 1)")
    ] = 1.0

    def stamp(self, features: Tensor, part: int | None = None) -> Tensor:
        height, width = require_images(self, features)
        length = min(4, (width - self.gap) // 2) if self.length is None else self.length
        if length < 1 or 2 * length + self.gap > width or self.gap + 2 > height:
            raise ParameterError(
                "DBA: the bars should satisfy 2 length + gap <= width and gap + 2 <= height. Found "
                f"length={length}, gap={self.gap} with images of {height} x {width}."
            )
        marked = features.clone()
        for bar in range(4) if part is None else [part % 4]:
            row, column = divmod(bar, 2)
            start = column * (length + self.gap)
            marked[:, :, row * (self.gap + 1), start : start + length] = self.value
        return marked
