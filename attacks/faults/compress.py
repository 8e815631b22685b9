"""Messages that lose information by compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Gt, Le
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Compress(Fault):
    """Compress: clients send a lossy form of their messages, which the server reads as if it were complete.

    Formula: ``top_k`` keeps the max(1, round(keep d)) entries of largest magnitude. ``qsgd`` sends ``|v| sgn(v_j) l/s``
    where s is `levels` and l is one of the two integers around ``s |v_j|/|v|``, drawn so that the expectation is v.
    ``sign`` sends ``(|v|_1 / d) sgn(v)``. ``fp16`` rounds to half precision, in which numbers beyond 65504 become
    infinite. With `feedback`, clients remember what was lost and add it to their next message. The bytes that
    compression saves are not counted.

    References
    ----------
    D. Alistarh, D. Grubic, J. Li, R. Tomioka, M. Vojnovic. QSGD: Communication-Efficient SGD via Gradient Quantization
    and Encoding. NIPS 2017. · S. U. Stich, J.-B. Cordonnier, M. Jaggi. Sparsified SGD with Memory. NeurIPS 2018. ·
    S. P. Karimireddy, Q. Rebjock, S. U. Stich, M. Jaggi. Error Feedback Fixes SignSGD and other Gradient Compression
    Schemes. ICML 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import Compress
    >>> Compress(keep=0.4)(np.array([[3.0, -4.0, 1.0, 0.0, 2.0]]))[0].tolist()
    [[3.0, -4.0, 0.0, 0.0, 0.0]]
    >>> Compress(method="sign")(np.array([[3.0, -4.0, 1.0, 0.0, 2.0]]))[0].tolist()
    [[2.0, -2.0, 2.0, 0.0, 2.0]]
    """

    reference: ClassVar[str] = (
        "Alistarh et al., QSGD, NIPS 2017; Stich et al., Sparsified SGD with Memory, NeurIPS 2018; Karimireddy et al., "
        "Error Feedback Fixes SignSGD, ICML 2019"
    )
    unfit: ClassVar[str] = (
        "for comparisons of traffic, as the bytes that are saved are not counted; or without `feedback` where your "
        "compression has it"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("method",)

    method: Annotated[Literal["top_k", "qsgd", "sign", "fp16"], Doc("how messages are compressed")] = "top_k"
    keep: Annotated[float, Gt(0), Le(1), Doc("share of the entries that top_k keeps")] = 0.01
    levels: Annotated[int, Ge(1), Doc("s: number of levels of qsgd above 0")] = 4
    feedback: Annotated[bool, Doc("whether clients add what was lost to their next message")] = False

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        if not self.feedback:
            return self._compressed(messages, moment)
        whole = messages.clone()
        for row, client in zip(whole, moment.ids.tolist(), strict=True):
            if client in moment.memory:
                row += moment.memory[client]
        sent = self._compressed(whole, moment)
        for left, client in zip(whole - sent, moment.ids.tolist(), strict=True):
            if bool(left.isfinite().all()):  # otherwise the loss cannot be made up for
                moment.memory[client] = left
        return sent

    def _compressed(self, rows: Tensor, moment: FaultView) -> Tensor:
        import torch

        if self.method == "fp16":
            return rows.to(torch.float16).to(rows.dtype)
        if self.method == "sign":
            return rows.sign() * rows.abs().mean(dim=1, keepdim=True)
        if self.method == "top_k":
            kept = rows.abs().topk(max(1, round(self.keep * rows.shape[1])), dim=1).indices
            return torch.zeros_like(rows).scatter(1, kept, rows.gather(1, kept))
        norms = rows.norm(dim=1, keepdim=True)
        heights = torch.where(norms > 0, rows.abs() / norms, 0.0) * self.levels
        draws = rows.new_tensor(moment.rng().random(rows.shape, dtype=np.float32))
        chosen: Tensor = heights.floor() + (draws < heights - heights.floor())
        sent: Tensor = norms * rows.sign() * chosen / self.levels
        return sent
