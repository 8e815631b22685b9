"""Messages that pass through a noisy radio channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.threats import Fault, FaultView

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class AWGN(Fault):
    """Additive white Gaussian noise (AWGN) on every message, as from a radio channel without error correction.

    Formula: ``v_i + N(0, |v_i|^2 / (d 10^(snr/10)) I)``: at 0 dB the noise is as long as the message. In the mean of n
    messages the noise is 1/sqrt(n) times as long. Messages that are not finite stay as they are.

    References
    ----------
    M. M. Amiri, D. Gunduz. Federated Learning over Wireless Fading Channels. IEEE Transactions on Wireless
    Communications, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import AWGN
    >>> rows, _ = AWGN(snr=20)(np.ones((2, 10_000)))
    >>> (rows - 1).std(axis=1).round(2).tolist()
    [0.1, 0.1]
    """

    reference: ClassVar[str] = (
        "Amiri, Gunduz, Federated Learning over Wireless Fading Channels, IEEE Transactions on Wireless Communications "
        "2020"
    )
    unfit: ClassVar[str] = (
        "in place of malicious noise: it is in proportion to each message and has the mean zero, so that averaging "
        "removes most of it"
    )
    label_parameters: ClassVar[tuple[str, ...]] = ("snr",)

    snr: Annotated[float, Ge(-100), Le(300), Doc("signal-to-noise ratio of a message in dB")] = 10.0

    def message(self, messages: Tensor, moment: FaultView) -> Tensor:
        import torch

        noise = messages.new_tensor(moment.rng().standard_normal(messages.shape, dtype=np.float32))
        length = messages.double().norm(dim=1, keepdim=True) / (messages.shape[1] * 10 ** (self.snr / 10)) ** 0.5
        finite = messages.isfinite().all(dim=1, keepdim=True)
        return torch.where(finite, messages + noise * length.to(messages.dtype), messages)
