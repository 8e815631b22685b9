"""Data whose files are already divided into a training and a test part: FashionMNIST, IDX, NPZ, CIFAR10."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.errors import DataError
from robustfl.federation.data import cifar
from robustfl.federation.data.dataset import Data, Dataset
from robustfl.federation.data.files import find_files
from robustfl.federation.data.idx import read_idx
from robustfl.federation.data.labels import Indices, number_classes, stratified
from robustfl.federation.data.npz import read_npz

IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The usual file names of MNIST and its relatives; each may end in .gz."""

_COLOURS = (1, 3, 4)  # grey, RGB, RGB with transparency


class Parts(NamedTuple):
    """Both parts as the files hold them; labels are already class numbers."""

    train_x: npt.NDArray[Any]
    train_y: Indices
    test_x: npt.NDArray[Any]
    test_y: Indices
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class DividedData(Data):
    """Data whose files are already divided.

    A limit takes a seeded random subset of a part, with the class proportions of the whole part.
    """

    train_limit: Annotated[int | None, Ge(1), Doc("number of training samples to take; all when not given")] = None
    test_limit: Annotated[int | None, Ge(1), Doc("number of test samples to take; all when not given")] = None
    split_seed: Annotated[int, Ge(0), Doc("seed of the random choice of samples under a limit")] = 0

    @abstractmethod
    def _parts(self, roots: tuple[Path, ...]) -> Parts:
        """Both parts, complete."""

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        parts = self._parts(roots)
        train_x, train_y = self._limited(parts.train_x, parts.train_y, self.train_limit, "training")
        test_x, test_y = self._limited(parts.test_x, parts.test_y, self.test_limit, "test")
        bytes_train, bytes_test = train_x.dtype == np.uint8, test_x.dtype == np.uint8
        notes: list[str] = []
        if bytes_train and not bytes_test:
            test_x, notes = _grey_levels(test_x, f"{self.name}: the test samples")
        elif bytes_test and not bytes_train:
            train_x, notes = _grey_levels(train_x, f"{self.name}: the training samples")
        return Dataset(
            name=self.name,
            train_x=_scaled(train_x),
            train_y=train_y,
            test_x=_scaled(test_x),
            test_y=test_y,
            classes=parts.classes,
            notes=tuple(notes),
        )

    def _limited(
        self, x: npt.NDArray[Any], y: Indices, limit: int | None, part: str
    ) -> tuple[npt.NDArray[Any], Indices]:
        if len(x) != len(y):
            raise DataError(f"{self.name}: every {part} sample needs one label. Found {len(x)} and {len(y)} labels.")
        if limit is None or limit >= len(y):
            return x, y
        chosen = stratified(y, limit, np.random.default_rng(self.split_seed))
        return x[chosen], y[chosen]


@dataclass(frozen=True, kw_only=True)
class FashionMNIST(DividedData):
    """Fashion-MNIST: 60000 training and 10000 test grey images [1, 28, 28] in [0, 1], of ten kinds of clothing.

    The four IDX files, gzipped or not, are searched in each data root (in `fashion-mnist`, `FashionMNIST/raw`, then
    the root itself) and then where the Debian package dataset-fashion-mnist puts them.

    Reference: Xiao, Rasul, Vollgraf, "Fashion-MNIST: a novel image dataset", arXiv:1708.07747, 2017.
    """

    layout: ClassVar[tuple[tuple[int, ...], int] | None] = ((1, 28, 28), 10)

    def _parts(self, roots: tuple[Path, ...]) -> Parts:
        paths = find_files(
            (*roots, _DEBIAN_FASHION),
            IDX_NAMES,
            folders=("fashion-mnist", "FashionMNIST/raw", "."),
            suffixes=("", ".gz"),
            remedy="Run `apt-get install dataset-fashion-mnist`, or place the four IDX files in the data root.",
        )
        train_x, train_y, test_x, test_y = _idx_parts(paths)
        names = _FASHION_CLASSES
        return Parts(train_x, train_y.astype(np.int64), test_x, test_y.astype(np.int64), names)


@dataclass(frozen=True, kw_only=True)
class IDX(DividedData):
    """Local files in the IDX format (MNIST, EMNIST, KMNIST, ...): grey images [1, height, width] in [0, 1].

    Each file may be gzipped, with or without `.gz` in its name. Classes are the distinct training labels in order.
    """

    folder: Annotated[str, Doc("folder of the four files, relative to the data root")] = "."
    images: Annotated[str, Doc("file of the training images, relative to the folder")] = IDX_NAMES[0]
    labels: Annotated[str, Doc("file of the training labels")] = IDX_NAMES[1]
    test_images: Annotated[str, Doc("file of the test images")] = IDX_NAMES[2]
    test_labels: Annotated[str, Doc("file of the test labels")] = IDX_NAMES[3]
    transposed: Annotated[bool, Doc("whether the files store images column by column, as EMNIST does")] = False

    def _parts(self, roots: tuple[Path, ...]) -> Parts:
        paths = find_files(
            roots,
            (self.images, self.labels, self.test_images, self.test_labels),
            folders=(self.folder,),
            suffixes=("", ".gz"),
            remedy="Place the files there, or say where they are: `folder`, `images`, `labels`, `test_images`, ...",
        )
        train_x, train_labels, test_x, test_labels = _idx_parts(paths)
        if self.transposed:
            train_x, test_x = train_x.swapaxes(-1, -2), test_x.swapaxes(-1, -2)
        train_y, test_y, classes = number_classes(train_labels, test_labels)
        return Parts(train_x, train_y, test_x, test_y, classes)


@dataclass(frozen=True, kw_only=True)
class CIFAR10(DividedData):
    """CIFAR-10: 50000 training and 10000 test colour images [3, 32, 32] in [0, 1], of ten kinds of thing.

    Only the binary version (cifar-10-binary.tar.gz) is read; the Python version is pickled and therefore refused.

    Reference: Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """

    layout: ClassVar[tuple[tuple[int, ...], int] | None] = ((3, 32, 32), 10)

    folder: Annotated[str, Doc("folder of the six .bin files, relative to the data root")] = "cifar-10-batches-bin"

    def _parts(self, roots: tuple[Path, ...]) -> Parts:
        cifar.refuse_pickles(roots, self.folder)
        paths = find_files(
            roots,
            (*cifar.TRAIN_FILES, cifar.TEST_FILE),
            folders=(self.folder,),
            remedy="Fetch cifar-10-binary.tar.gz from the CIFAR-10 site and unpack it in the data root.",
        )
        *train, (test_x, test_y) = [cifar.read_batch(path) for path in paths]
        train_x = np.concatenate([images for images, _ in train])
        train_y = np.concatenate([labels for _, labels in train])
        return Parts(train_x, train_y.astype(np.int64), test_x, test_y.astype(np.int64), cifar.CLASSES)


@dataclass(frozen=True, kw_only=True)
class NPZ(DividedData):
    """Four arrays in a local .npz file: samples and labels for training and test.

    Samples are [N, features], grey images [N, height, width], or images with their channels first or last. Bytes
    (uint8) are scaled to [0, 1]; other numbers are taken as they are. Where one part is bytes and the other is not, the
    other should be grey levels as well: it is scaled alike if they reach beyond 1, and has the scale already if they do
    not. Labels are integers or texts, [N] or [N, 1]. Nothing is unpickled.
    """

    path: Annotated[str, Doc("the .npz file, relative to the data root")]
    x_train: Annotated[str, Doc("key of the training samples")] = "x_train"
    y_train: Annotated[str, Doc("key of the training labels")] = "y_train"
    x_test: Annotated[str, Doc("key of the test samples")] = "x_test"
    y_test: Annotated[str, Doc("key of the test labels")] = "y_test"
    channels: Annotated[
        Literal["auto", "first", "last"], Doc("axis of the channels of images; auto: the axis of length 1, 3 or 4")
    ] = "auto"

    def _parts(self, roots: tuple[Path, ...]) -> Parts:
        (path,) = find_files(roots, (self.path,), remedy="Place the file there; `path` is relative to the data root.")
        train_x, train_labels, test_x, test_labels = read_npz(
            path, (self.x_train, self.y_train, self.x_test, self.y_test)
        )
        train_y, test_y, classes = number_classes(
            _flat_labels(train_labels, self.y_train), _flat_labels(test_labels, self.y_test)
        )
        train_x = _channels_first(train_x, self.channels, self.x_train)
        test_x = _channels_first(test_x, self.channels, self.x_test)
        return Parts(train_x, train_y, test_x, test_y, classes)


def _idx_parts(paths: tuple[Path, ...]) -> tuple[npt.NDArray[np.uint8], ...]:
    """Images [N, 1, height, width] and labels [N] of both parts."""
    images, labels, test_images, test_labels = paths
    return (
        read_idx(images, 3)[:, None],
        read_idx(labels, 1),
        read_idx(test_images, 3)[:, None],
        read_idx(test_labels, 1),
    )


def _scaled(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Scale bytes to float32 in [0, 1]; all other values stay unchanged."""
    if x.dtype != np.uint8:
        return x
    scaled = x.astype(np.float32)
    scaled /= 255
    return scaled


def _grey_levels(x: npt.NDArray[Any], what: str) -> tuple[npt.NDArray[Any], list[str]]:
    """Samples in [0, 1] from numbers beside bytes in the other part, and notes about them.

    Raises DataError when they are no grey levels: then nobody knows how both parts get one scale.
    """
    if x.dtype.kind not in "biuf" or not x.size or not np.isfinite(x).all():
        return x, []  # no samples at all, which is refused for what it is
    low, high = float(x.min()), float(x.max())
    if not 0 <= low <= high <= 255:
        raise DataError(
            f"{what} should have the scale of the other part, which is bytes (uint8). Found {x.dtype} from {low:g} to "
            f"{high:g}. Save both parts as uint8, or both in one scale."
        )
    if high <= 1:
        return x, [f"{what} are {x.dtype} from {low:g} to {high:g} beside bytes: they were taken for scaled already."]
    scaled = x.astype(np.float32)
    scaled /= 255
    return scaled, [f"{what} are {x.dtype} from {low:g} to {high:g} beside bytes: both were divided by 255."]


def _flat_labels(labels: npt.NDArray[Any], key: str) -> npt.NDArray[Any]:
    """Labels [N] from [N] or [N, 1]."""
    flat = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if flat.ndim != 1 or flat.dtype.kind not in "biuU":
        remedy = "One-hot labels become numbers by `labels.argmax(axis=1)`."
        if flat.ndim == 1 and flat.dtype.kind == "f":
            remedy = "Whole numbers become integers by `labels.astype(int)`."
        raise DataError(
            f"`{key}` should be integers or texts of shape [samples]. Found {labels.dtype}, shape {labels.shape}. "
            f"{remedy}"
        )
    return flat


def _channels_first(x: npt.NDArray[Any], channels: str, key: str) -> npt.NDArray[Any]:
    """Samples as [N, features] or [N, channels, height, width]."""
    if x.ndim == 3:
        return x[:, None]
    if x.ndim == 4:
        first, last = x.shape[1] in _COLOURS, x.shape[3] in _COLOURS
        if channels == "auto" and first == last:
            raise DataError(
                f"`{key}` has the shape {x.shape}, which does not tell where the channels are. "
                f"Say channels='first' or channels='last'."
            )
        return np.moveaxis(x, 3, 1) if channels == "last" or (channels == "auto" and last) else x
    if x.ndim != 2:
        raise DataError(f"`{key}` should have 2, 3 or 4 axes, samples first. Found shape {x.shape}.")
    return x


_DEBIAN_FASHION = Path("/usr/share/datasets/fashion-mnist")
_FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
