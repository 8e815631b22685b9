"""Letters that are right in what their receiver can judge, and wrong in everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import AttackError
from robustfl.threats import Knowledge
from robustfl.threats.peers.contract import PeerAttack

if TYPE_CHECKING:
    from torch import Tensor

    from robustfl.threats.peers.view import PeerView


@dataclass(frozen=True, kw_only=True)
class ForeignClasses(PeerAttack):
    """Foreign classes: the receiver's own classes are recognised well, and all others are mistaken for each other.

    Formula: with m the mean of the peer's model and of those of its honest neighbours, and W[c] the part of a layer W
    that decides for class c, ``v[c] = factor m[c]`` for the classes c of which the peer has samples, and
    ``v[c] = factor m[next(c)]`` for the others, where next goes through these in a circle. Who tries letters out on
    samples of its own finds nothing wrong. A letter with a `factor` recognises the same and is that much longer, so it
    has that much more to say wherever letters are averaged.

    Knowledge: the models of the victims' honest neighbours, and the classes of the victims' samples. It is made for
    models that are one output layer, of which each class has an equal part.

    References
    ----------
    J. Verbraeken, M. de Vos, J. Pouwelse. Bristle: Decentralized Federated Learning in Byzantine, Non-i.i.d.
    Environments. arXiv:2110.11006, 2021 (the defense; the attack is this project's).

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.attacks import ForeignClasses
    >>> knows = [True, False, False]
    >>> ForeignClasses()(np.array([1.0, 2.0, 3.0]), np.array([[3.0, 4.0, 5.0]]), knows=knows).tolist()
    [2.0, 4.0, 3.0]
    """

    unfit: ClassVar[str] = (
        "where peers know all classes: it then does no more than a letter of plain averaging, or than scaling it"
    )
    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.DATA
    label_parameters: ClassVar[tuple[str, ...]] = ("factor",)

    factor: Annotated[float, Ge(0), Doc("what all letters are multiplied by")] = 1.0

    def craft(self, view: PeerView) -> Tensor:
        import torch

        mean, knows = self.factor * view.mean(), view.knows
        classes = knows.shape[1]
        if any(size % classes for size in view.layers):
            raise AttackError(
                f"{self!r} needs models in whose layers each of {classes} classes has an equal part. Found layers of "
                f"{list(view.layers)} numbers. Play it against `softmax`."
            )
        source = np.tile(np.arange(classes), (len(knows), 1))
        for line, known in zip(source, knows, strict=True):
            line[~known] = np.roll(line[~known], -1)
        place = mean.new_tensor(source).long()
        layers = []
        for layer in torch.split(mean, list(view.layers), dim=1):
            parts = layer.reshape(len(layer), classes, -1)
            layers.append(parts.take_along_dim(place[:, :, None], dim=1).reshape(len(layer), -1))
        return torch.cat(layers, dim=1)
