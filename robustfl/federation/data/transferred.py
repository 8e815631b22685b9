"""Images as frozen layers see them that were trained on something else: what transfer learning hands to clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge, Le
from typing_extensions import Doc

from robustfl.errors import DataError, ParameterError
from robustfl.federation.data.dataset import Data, Dataset, FloatArray, LabelArray
from robustfl.federation.data.digits import Digits
from robustfl.federation.data.files import data_roots
from robustfl.federation.data.images import CIFAR10, FashionMNIST
from robustfl.federation.models.architectures import CNN, MLP

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

RATE = 1e-3
"""The learning rate of Adam when layers are trained."""
BATCH = 128
"""The number of images in a batch then."""
CHUNK = 4096
"""The number of images whose features are computed at a time."""
FLAT = 1e-3
"""The standard deviation below which a feature says nothing, so that it is not made larger."""


@dataclass(frozen=True, kw_only=True)
class Transferred(Data):
    """Images as the frozen layers of a network see them that was trained for another task: standardised features.

    Clients that train one layer over them (`model: softmax`) do what transfer learning does: all other layers are the
    same for everybody, never change, and are never sent. That is what :class:`~robustfl.defenses.Bristle` works with.

    Formula: with the values h(x) that come into the output layer of the trained network, a sample has the features
    ``(h(x) - m)/s``, where m and s are the mean and the standard deviation of h over the training samples, which
    everybody knows. Without this, the features of layers with ReLU are never negative, and few of them differ between
    classes, so that few steps teach little.

    The network is trained by Adam (rate 0.001, batches of 128), alike on every machine of one type and whatever the
    number of threads:

    - `fashion_mnist` as the source: on the 60,000 training images of Fashion-MNIST and their labels, which are scaled
      to the size of the images by means over areas.
    - `rotations`: on `public` training images of the data themselves, without their labels, which nobody has among its
      own samples afterwards: the network learns by how many quarter turns an image was turned.

    Reference: Verbraeken, de Vos, Pouwelse, "Bristle: decentralized federated learning in Byzantine, non-i.i.d.
    environments", 2021 (transfer learning between peers); Gidaris, Singh, Komodakis, "Unsupervised representation
    learning by predicting image rotations", ICLR 2018.
    """

    tabular: ClassVar[bool] = True

    of: Annotated[Literal["digits", "fashion_mnist", "cifar10"], Doc("the data that clients learn")] = "digits"
    source: Annotated[Literal["fashion_mnist", "rotations"], Doc("what the frozen layers were trained for")] = (
        "fashion_mnist"
    )
    width: Annotated[
        int, Ge(1), Le(65_536), Doc("number of features; what stages of convolution give, if there are some")
    ] = 256
    channels: Annotated[
        tuple[Annotated[int, Ge(1), Le(65_536)], ...], Doc("channels of each stage of convolution as in `cnn`; none")
    ] = ()
    epochs: Annotated[int, Ge(1), Le(1000), Doc("how often the network sees each image when it is trained")] = 2
    public: Annotated[int, Ge(1), Doc("number of training images that are public, with `rotations`")] = 8000
    seed: Annotated[int, Ge(0), Doc("seed of the network, and of which images are public")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of == self.source:
            raise ParameterError(
                f"Transferred: `source` should be other data than those that clients learn. Found both {self.of!r}. "
                "Take `source: rotations`."
            )

    def outline(self, root: Path | None = None) -> Dataset:
        roots = data_roots(root)
        dataset = _named(self.of, roots)
        images, labels, kept = self._lesson(dataset, roots)
        layers = self._network(images, labels)[:-1]
        width = _features(layers, images[:1]).shape[1]
        train, test = (np.zeros((size, width), dtype=np.float32) for size in (len(kept), len(dataset.test_y)))
        return self._dataset(dataset, kept, train, test, len(images))

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        import torch

        dataset = _named(self.of, roots)
        images, labels, kept = self._lesson(dataset, roots)
        with _one_thread():
            network = self._trained(images, labels)
            train = _features(network, torch.tensor(dataset.train_x[kept]))
            test = _features(network, torch.tensor(dataset.test_x))
        mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
        spread = np.where(spread < FLAT, 1.0, spread)
        for part in (train, test):  # in place: there may be many samples of many features
            part -= mean.astype(np.float32)
            part /= spread.astype(np.float32)
        return self._dataset(dataset, kept, train, test, len(images))

    def _dataset(
        self, dataset: Dataset, kept: LabelArray, train: FloatArray, test: FloatArray, lessons: int
    ) -> Dataset:
        """The data set of these features, by layers that were trained on so many images."""
        what = "how images were turned" if self.source == "rotations" else self.source
        told = f"Samples are features of {self.of}, by layers that were trained for {what} on {lessons} images."
        return Dataset(
            name=self.name,
            train_x=train,
            train_y=dataset.train_y[kept],
            test_x=test,
            test_y=dataset.test_y,
            classes=dataset.classes,
            notes=(*dataset.notes, told),
        )

    def _lesson(self, dataset: Dataset, roots: tuple[Path, ...]) -> tuple[Tensor, Tensor, LabelArray]:
        """The images and labels on which the network is trained, and which training samples clients still get."""
        import torch
        from torch.nn.functional import adaptive_avg_pool2d

        everything = np.arange(len(dataset.train_y))
        channels, height, width = dataset.input_shape
        if self.source != "rotations":
            other = _named(self.source, roots)
            images = adaptive_avg_pool2d(torch.tensor(other.train_x), (height, width))
            return images.expand(-1, channels, -1, -1).contiguous(), torch.tensor(other.train_y), everything
        if self.public >= len(everything):
            raise DataError(
                f"Transferred: `public` should satisfy public < {len(everything)}, the number of training images of "
                f"{self.of}. Found public={self.public}. Use fewer."
            )
        if height != width:
            raise DataError(f"Transferred: images that are turned should be square. Found {height} x {width}.")
        public = np.random.default_rng(self.seed).permutation(everything)[: self.public]
        images = torch.tensor(dataset.train_x[public])
        turned = torch.cat([images.rot90(turns, (-2, -1)) for turns in range(4)])
        return turned, torch.arange(4).repeat_interleave(len(images)), np.setdiff1d(everything, public)

    def _trained(self, images: Tensor, labels: Tensor) -> nn.Module:
        """The layers in front of the output layer of a network after it was trained."""
        import torch
        from torch.nn.functional import cross_entropy

        generator = torch.Generator().manual_seed(self.seed)
        network = self._network(images, labels, generator)
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        for _ in range(self.epochs):
            order = torch.randperm(len(images), generator=generator)
            for batch in torch.split(order, BATCH):
                optimizer.zero_grad()
                cross_entropy(network(images[batch]), labels[batch]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return network[:-1]

    def _network(self, images: Tensor, labels: Tensor, generator: Generator | None = None) -> nn.Sequential:
        """The network for these images before it is trained; the generator draws its weights, and goes on."""
        import torch

        model = CNN(channels=self.channels) if self.channels else MLP(hidden=(self.width,))
        drawn = generator or torch.Generator().manual_seed(self.seed)
        network = model.build(tuple(images.shape[1:]), int(labels.max()) + 1, drawn)
        assert isinstance(network, torch.nn.Sequential)
        return network


def _named(name: str, roots: tuple[Path, ...]) -> Dataset:
    sources: dict[str, Data] = {"digits": Digits(), "fashion_mnist": FashionMNIST(), "cifar10": CIFAR10()}
    return sources[name]._read(roots)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread, so that sums do not depend on how many there are."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _features(layers: nn.Module, images: Tensor) -> FloatArray:
    """What the layers make of images, [N, features]."""
    import torch

    with torch.no_grad():
        return torch.cat([layers(some) for some in torch.split(images, CHUNK)]).numpy()
