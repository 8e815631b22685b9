"""What an attacker works with: samples of the clients that it knows, and honest updates that it imagines."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np

from robustfl.threats.updates.view import View, Whose

if TYPE_CHECKING:
    from torch import Tensor


def drawn(view: View, whose: Whose, most: int) -> tuple[Tensor, Tensor] | None:
    """About `most` samples [clients, m, ...] and labels [clients, m], as many of each client; None when there are none.

    A client with fewer samples than the others has some of them twice, so that all clients weigh the same. The choice
    is random.
    """
    import torch

    held = view.holdings(whose)
    if not held:
        return None
    count = min(max(most // len(held), 1), max(len(labels) for _, labels in held))
    features, labels = [], []
    for x, y in held:
        places = torch.as_tensor(np.resize(view.rng.permutation(len(y)), count), device=y.device)
        features.append(x[places])
        labels.append(y[places])
    return torch.stack(features), torch.stack(labels)


def imagined(view: View) -> Tensor:
    """Updates [h, d] in place of the honest ones, for an attacker that sees none: those of its own data.

    Each imagined client draws a batch from the data of all malicious clients, with replacement, and learns from it as
    an honest client does. Its momentum begins with an update that a malicious client would have sent, and stays in the
    attack's memory. Without any data, what malicious clients would have sent stands for the honest updates.

    Cost: the training of h clients.
    """
    import torch

    held = view.holdings("own")
    if not held:
        return view.own
    features, labels = torch.cat([x for x, _ in held]), torch.cat([y for _, y in held])
    training = view.training
    batches = view.rng.integers(len(labels), size=(view.h, training.batch_size))
    index = torch.as_tensor(batches, device=labels.device)
    rows = training.update(view.weights, features[index], labels[index])
    if training.momentum:
        kept: dict[Hashable, Tensor] = view.memory.setdefault("imagined momentum", {})
        before, own = kept.get(view.receiver), view.finite("own")
        if (before is None or len(before) != view.h) and len(own):
            places = torch.as_tensor(view.rng.integers(len(own), size=view.h), device=labels.device)
            before = own[places]
        if before is not None and len(before) == view.h:
            rows = before.lerp(rows, 1 - training.momentum)
        kept[view.receiver] = rows
    return rows
