"""Gradients of the first fully connected layer, of which clients cut what tells most about their samples."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from annotated_types import Ge, Lt
from typing_extensions import Doc

from robustfl.aggregation import ClientSide
from robustfl.aggregation.client_side import places
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from robustfl.aggregation.client_side import Shapes


@dataclass(frozen=True, kw_only=True)
class Soteria(ClientSide):
    """Soteria: clients compute the gradient of the first fully connected layer from a representation with holes.

    Formula: f [m] is what the first fully connected layer gets for a sample x, and
    ``r_j = |df_j/dx|_2 / (|f_j| + 0.1)`` the score of its j-th value. The ``floor(share m)`` values of smallest score
    become 0 in f', of equal scores the earlier ones. The weights of that layer get the gradient
    ``mean over the batch of delta f'^T`` in place of ``delta f^T``. Logits, the loss and all other gradients are those
    of the unchanged f. This is the published pruning by percentiles, sample by sample: where a batch has one sample,
    whole columns of the gradient are 0; where it has more, each sample's part of the gradient has its own zeros.

    Shapes: within the network of each client. Cost: the Jacobian df/dx of every sample, m backward passes through the
    layers before, which is many times a gradient. In accuracy: the columns that are cut do not learn, so the layer
    trains at 1 - share of its rate or so; with a share of 0.8 a convolutional network loses little.

    It protects one layer. In a network that begins with a fully connected layer, f is x and r_j is ``1/(|x_j| + 0.1)``:
    it cuts the brightest values of the sample and leaves all others, and which ones are cut shows; do not use it there
    (it is not refused, because that this is no protection can be measured). In a convolutional network all convolutions
    still send their whole gradients. An adaptive attacker leaves out the columns that are 0 or the layer as a whole:
    `imitated` does the former, and `protected` names the layer.

    Raises
    ------
    ParameterError : the network has no fully connected layer

    References
    ----------
    J. Sun, A. Li, B. Wang, H. Yang, H. Li, Y. Chen. Soteria: Provable Defense against Privacy Leakage in Federated
    Learning from Representation Perspective. CVPR 2021.
    M. Balunovic, D. Dimitrov, R. Staab, M. Vechev. Bayesian Framework for Gradient Leakage. ICLR 2022 (the attack).

    Examples
    --------
    >>> from robustfl.defenses import Mean, Soteria
    >>> rule = Soteria(share=0.5) >> Mean()  # a simulation lets its clients change their gradients
    >>> rule([[1.0], [3.0]]).tolist()  # the server's part of it is empty
    [2.0]
    """

    guarantee: ClassVar[str] = "none against an attacker who leaves the layer out"
    unfit: ClassVar[str] = (
        "in networks that begin with a fully connected layer, and against attackers who leave the protected layer "
        "out of their search"
    )
    reference: ClassVar[str] = "Sun et al., Soteria, CVPR 2021"
    label_parameters: ClassVar[tuple[str, ...]] = ("share",)

    share: Annotated[float, Ge(0), Lt(1), Doc("share of the representation's values that is cut")] = 0.8

    def network(self, network: nn.Module) -> nn.Module:
        from torch import nn

        changed = copy.deepcopy(network)
        for name, module in changed.named_modules():
            if isinstance(module, nn.Linear):
                _protect(changed, name, module, self.share)
                return changed
        raise ParameterError(f"{self!r} protects a fully connected layer, and this network has none. Leave it out.")

    def protected(self, shapes: Shapes) -> str:
        """The name of the tensor whose gradient is changed: the first matrix among the model's tensors."""
        for name, shape in shapes.items():
            if len(shape) == 2:
                return name
        raise ParameterError(f"{self!r} protects a fully connected layer, and there is none. Found {list(shapes)}.")

    def imitated(self, guess: Tensor, message: Tensor, shapes: Shapes) -> Tensor:
        """The guess, with zeros in those columns of the layer in which the message has nothing but zeros."""
        name = self.protected(shapes)
        place = places(shapes)[name]
        open_columns = (message[place].reshape(shapes[name]) != 0).any(dim=0)
        mask = guess.new_ones(guess.shape[-1])
        mask[place] = open_columns.expand(shapes[name]).reshape(-1).to(guess.dtype)
        return guess * mask


def _protect(network: nn.Module, name: str, layer: nn.Linear, share: float) -> None:
    """Let the weights of a layer of the network get the gradient of a representation with holes."""
    import torch
    from torch.func import jacrev, vmap
    from torch.nn.functional import linear

    class Protected(torch.nn.Linear):
        """The same layer, whose weights see another input than its value does when there is a mask."""

        mask: Tensor | None = None
        heard: Tensor

        def forward(self, given: Tensor) -> Tensor:
            self.heard = given
            if self.mask is None:
                return linear(given, self.weight, self.bias)
            holed = linear(given.detach() * self.mask, self.weight)
            return linear(given, self.weight.detach(), self.bias) + (holed - holed.detach())

    inner = Protected(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
    inner.weight, inner.bias = layer.weight, layer.bias
    *path, last = name.split(".")
    setattr(network.get_submodule(".".join(path)), last, inner)
    count = int(share * layer.in_features + 1e-9)

    def representation(sample: Tensor) -> Tensor:
        inner.mask = None
        network.forward(sample[None])
        return inner.heard[0]

    def masked(module: nn.Module, given: tuple[Any, ...]) -> None:
        features = given[0].detach()
        slopes = vmap(jacrev(representation))(features).flatten(2).norm(dim=2)
        values = vmap(representation)(features)
        scores = slopes.detach() / (values.detach().abs() + 0.1)
        cut = scores.sort(dim=1, stable=True).indices[:, :count]
        inner.mask = torch.ones_like(scores).scatter(1, cut, 0.0)

    network.register_forward_pre_hook(masked)
