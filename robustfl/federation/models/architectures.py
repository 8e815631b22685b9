"""The models that clients train: small networks that `torch.func` can differentiate for many clients at once.

`build` depends on its arguments alone and does not touch torch's global random state:

>>> import torch
>>> network = MLP(hidden=(16,)).build((1, 8, 8), classes=10, generator=torch.Generator().manual_seed(0))
>>> sum(p.numel() for p in network.parameters())
1210
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.components import Component
from robustfl.errors import ParameterError

if TYPE_CHECKING:
    import torch

Width = Annotated[int, Ge(1), Le(65_536)]


@dataclass(frozen=True, kw_only=True)
class Model(Component, ABC):
    """A network architecture that maps samples of one shape to one logit per class.

    The network keeps no state except its parameters and draws no random numbers when it runs, so that one
    `torch.func.vmap` can compute the gradients of many clients. Two kinds of layers are therefore replaced when it is
    built. The numbers of torch's `Dropout` layers come from a stream of each client's own, and nothing is dropped when
    a model is judged. Batch normalisation is static: clients use the statistics of each batch, nobody keeps or sends
    any, and a model is judged with those of 256 samples of the training set under its own weights.

    References
    ----------
    Diao, Ding, Tarokh, HeteroFL: Computation and Communication Efficient Federated Learning for Heterogeneous Clients,
    ICLR 2021 (static batch normalisation).
    """

    convolutional: ClassVar[bool] = False
    """Whether convolutions dominate the cost: on a CPU, large ones run faster one client after another than in vmap."""

    @final
    def build(self, input_shape: tuple[int, ...], classes: int, generator: torch.Generator) -> torch.nn.Module:
        """The network with float32 parameters drawn from `generator`, on the generator's device.

        Shapes: the network maps [batch, *input_shape] to logits [batch, classes].

        Raises ParameterError when the shape does not suit the model, or there are fewer than two classes.
        """
        import torch

        from robustfl.federation.models.modes import in_two_modes
        from robustfl.federation.models.modules import emptied, require_filled

        if not input_shape or min(input_shape) < 1:
            raise ParameterError(
                f"{type(self).__name__}: `input_shape` should be [features] or [channels, height, width]. "
                f"Found {tuple(input_shape)}."
            )
        if classes < 2:
            raise ParameterError(f"{type(self).__name__}: `classes` should satisfy classes >= 2. Found {classes}.")
        with torch.device("meta"):  # no values yet: torch's own initialisation would use the global generator
            network = self._network(tuple(input_shape), classes)
        network = emptied(network.float(), generator.device)
        with torch.no_grad():
            self._initialise(network, generator)
        require_filled(network, type(self).__name__)
        return in_two_modes(network, tuple(input_shape))

    @abstractmethod
    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        """The network, not yet initialised.

        It has only layers that `initialise` knows, unless `_initialise` is overridden. It is built without memory, so
        that values which are computed here are lost.
        """

    def _initialise(self, network: torch.nn.Module, generator: torch.Generator) -> None:
        """Give every parameter and buffer of the network its value, in place, drawn from `generator` alone.

        It is called without gradients.

        An override may know layers of any kind: LayerNorm, attention, embeddings. Whether such a network can be trained
        is then asked once before a run (:func:`robustfl.federation.clients.trainable.require_trainable`).
        """
        from robustfl.federation.models.modules import initialise

        initialise(network, generator)

    def _image(self, input_shape: tuple[int, ...], side: int) -> tuple[int, int, int]:
        """`input_shape` as channels, height and width of an image; both sides are checked to be at least `side`."""
        if len(input_shape) != 3 or min(input_shape[1:]) < side:
            raise ParameterError(
                f"{type(self).__name__} needs images [channels, height, width], at least {side} high and wide. Found "
                f"input shape {input_shape}. Use `softmax` or `mlp` for other data."
            )
        channels, height, width = input_shape
        return channels, height, width


@dataclass(frozen=True, kw_only=True)
class Softmax(Model):
    """Multinomial logistic regression: one linear layer, which is a convex problem, for tables and images."""

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import dense

        return dense(input_shape, (), classes)


@dataclass(frozen=True, kw_only=True)
class MLP(Model):
    """Fully connected layers with ReLU between them, for tables and images."""

    hidden: Annotated[tuple[Width, ...], Doc("width of each hidden layer, 1 to 65536")] = (32,)

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import dense

        return dense(input_shape, self.hidden, classes)


@dataclass(frozen=True, kw_only=True)
class CNN(Model):
    """Stages of 3x3 convolution, optional group norm, ReLU and 2x2 max pooling, then one linear layer.

    Images need a height and width of 2^stages or more.
    """

    convolutional: ClassVar[bool] = True

    channels: Annotated[tuple[Width, ...], Doc("number of channels of each stage, 1 to 65536")] = (16, 32)
    norm: Annotated[Literal["none", "group"], Doc("normalisation after each convolution")] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.channels:
            raise ParameterError("CNN: `channels` should name one or more stages. Found channels=(). Use `softmax`.")

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import convolutions

        image = self._image(input_shape, side=2 ** len(self.channels))
        return convolutions(image, self.channels, classes, normed=self.norm == "group")


@dataclass(frozen=True, kw_only=True)
class ResNet20(Model):
    """The residual network of 20 layers for small images, with group norm in place of batch norm.

    It has three stages of three blocks with 16, 32 and 64 channels; shortcuts have no parameters (option A of the
    paper). For CIFAR-10 it has 0.27 million parameters. Batch norm would mix the samples of a batch and keep running
    statistics, which neither average well over clients with different data nor work per client in `vmap`.

    References: He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2;
    Wu, He, "Group normalization", ECCV 2018.
    """

    name: ClassVar[str] = "resnet20"
    convolutional: ClassVar[bool] = True

    groups: Annotated[int, Ge(1), Le(16), Doc("number of groups of each group norm; it divides 16")] = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if 16 % self.groups:
            raise ParameterError(f"ResNet20: `groups` should divide 16 (1, 2, 4, 8, 16). Found groups={self.groups}.")

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import ResidualNetwork

        channels, _, _ = self._image(input_shape, side=8)
        return ResidualNetwork(channels, classes, groups=self.groups)


@dataclass(frozen=True, kw_only=True)
class GRU(Model):
    """A gated recurrent unit over sequences [length, symbols], then one linear layer behind its last state.

    Reference: Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.
    """

    name: ClassVar[str] = "gru"

    width: Annotated[Width, Doc("number of values in the state, 1 to 65536")] = 16

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import GatedRecurrence

        if len(input_shape) != 2:
            raise ParameterError(
                f"GRU needs sequences [length, symbols]. Found input shape {input_shape}. Use `mlp` for tables and "
                "`cnn` for images."
            )
        return GatedRecurrence(input_shape[1], self.width, classes)


@dataclass(frozen=True, kw_only=True)
class Precode(Model):
    """A network that hides its gradients behind a random code: a variational bottleneck before the output layer.

    Formula: the last hidden representation h becomes ``(m, s) = encoder(h)`` and ``z = m + exp(s/2) e`` with new
    standard normal e for each sample and step; the logits are ``head(decoder(z))``. Clients minimise the cross-entropy
    plus `divergence` times the divergence of the codes from a standard normal, ``sum(m^2 + exp(s) - s - 1)/2``. With
    e = 0 it is a network without randomness, which is what is measured on the test set and what the server sees.

    This defense against gradient inversion is a model and no stage of a pipeline, because it has parameters of its own
    that all clients and the server train together: other defenses in the same world then have to defend the same
    model, and the world without it is the one with `mlp` or `cnn`. The layers before the code have the same initial
    weights as in those.

    What it costs: ``3 code (width + 1)`` parameters or so, and accuracy while codes are still noisy. What it is worth:
    an attacker who matches gradients does not know e, so the gradient of the true batch is not the message. Every
    gradient is scaled by what comes back through the code, though, and not replaced: where the first layer is fully
    connected, the ratios of its rows still are the samples, exactly. An attacker who matches leaves out the gradients
    of encoder, decoder and head (`shielded`), or guesses e along with the samples.

    References
    ----------
    D. Scheliga, P. Maeder, M. Seeland. PRECODE: A Generic Model Extension to Prevent Deep Gradient Leakage. WACV 2022.
    M. Balunovic, D. Dimitrov, R. Staab, M. Vechev. Bayesian Framework for Gradient Leakage. ICLR 2022 (the attack).

    Examples
    --------
    >>> import torch
    >>> network = Precode(hidden=(16,), code=4).build((1, 8, 8), classes=10, generator=torch.Generator().manual_seed(0))
    >>> network(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    """

    shielded: ClassVar[tuple[str, ...]] = ("encoder", "decoder", "head")
    """The beginnings of the names of the parameters whose gradients are functions of the random code."""

    hidden: Annotated[
        tuple[Width, ...], Doc("width of each hidden layer, 1 to 65536; they follow the convolutions")
    ] = (32,)
    channels: Annotated[tuple[Width, ...], Doc("channels of each stage of convolution as in `cnn`; none without")] = ()
    code: Annotated[int, Ge(1), Le(65_536), Doc("number of values in the random code")] = 256
    divergence: Annotated[float, Ge(0), Doc("weight of the codes' divergence from a standard normal")] = 1e-3

    def _network(self, input_shape: tuple[int, ...], classes: int) -> torch.nn.Module:
        from robustfl.federation.models.modules import variational

        shape = self._image(input_shape, side=2 ** len(self.channels)) if self.channels else input_shape
        return variational(shape, self.channels, self.hidden, self.code, classes, self.divergence)
