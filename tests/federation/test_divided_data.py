"""IDX, Fashion-MNIST, NPZ and CIFAR-10 files: read right when sound, refused when hostile or broken."""

from __future__ import annotations

import gzip
import io
import math
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.errors import DataError
from robustfl.federation.data import images as divided_data
from robustfl.federation.data.data_sets import CIFAR10, IDX, NPZ, FashionMNIST
from robustfl.federation.data.files import ROOT_VARIABLE
from robustfl.federation.data.idx import read_idx

Array = npt.NDArray[Any]
DEBIAN = Path("/usr/share/datasets/fashion-mnist")


@pytest.fixture(autouse=True)
def _no_root_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# ---------------------------------------------------------------------------------------------------- IDX


def idx_bytes(array: Array) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_idx(folder: Path, *, zipped: bool = False, first_label: int = 0, samples: int = 40) -> Array:
    """Four IDX files of 4x3 images with three labels; the training images."""
    folder.mkdir(parents=True, exist_ok=True)
    images = rng().integers(0, 256, (samples, 4, 3))
    labels = np.arange(samples) % 3 + first_label
    arrays = (images, labels, images[:12], labels[:12])
    for name, array in zip(divided_data.IDX_NAMES, arrays, strict=True):
        content = idx_bytes(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(content) if zipped else content)
    return images


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files(tmp_path: Path, zipped: bool) -> None:
    images = write_idx(tmp_path / "mnist", zipped=zipped, first_label=1)
    data = IDX(folder="mnist").load(tmp_path)
    np.testing.assert_array_equal(data.train_x, (images[:, None] / 255).astype(np.float32))
    assert data.classes == ("1", "2", "3")
    assert data.train_y[:4].tolist() == [0, 1, 2, 0]
    assert (data.input_shape, len(data.test_x)) == ((1, 4, 3), 12)
    turned = IDX(folder="mnist", transposed=True).load(tmp_path)
    np.testing.assert_array_equal(turned.train_x, data.train_x.swapaxes(2, 3))
    assert turned.train_x.flags.c_contiguous


def test_a_gzipped_file_is_told_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx_bytes(np.array([1, 2, 3]))))
    assert read_idx(path, 1).tolist() == [1, 2, 3]


def test_limits_take_a_stratified_reproducible_subset(tmp_path: Path) -> None:
    write_idx(tmp_path)
    small = IDX(train_limit=9, test_limit=3).load(tmp_path)
    assert np.bincount(small.train_y).tolist() == [3, 3, 3]
    assert np.bincount(small.test_y).tolist() == [1, 1, 1]
    other = IDX(train_limit=9, test_limit=3, split_seed=1).load(tmp_path)
    assert not np.array_equal(small.train_x, other.train_x)
    assert len(IDX(train_limit=1000).load(tmp_path).train_x) == 40


GOOD = idx_bytes(np.zeros((2, 2, 2)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "nothing"),
        (b"\0\0\x08", "00 00 08"),
        (b"%PDF-1.7 ......................", "25 50 44 46"),
        (b"\0\0\x0d\x03" + GOOD[4:], "unsigned bytes"),
        (idx_bytes(np.zeros(8)), "3 dimension"),
        (GOOD[:10], "3 length"),
        (GOOD[:-1], "Found 7"),
        (GOOD + b"\0", "Found more"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 0, 2, 2), "not be empty"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, *[2**32 - 1] * 3) + b"\0" * 9, "a file of its size can hold"),
        (struct.pack(">BBBB3I", 0, 0, 8, 3, 2**20, 2**10, 2**10), "a file of its size can hold"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_hostile_idx_files_are_refused_without_allocating_what_they_claim(
    tmp_path: Path, content: bytes, message: str, zipped: bool
) -> None:
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if zipped else content)
    tracemalloc.start()
    with pytest.raises(DataError, match=message):
        read_idx(path, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


def test_damaged_gzip_files_are_refused(tmp_path: Path) -> None:
    whole = gzip.compress(idx_bytes(rng().integers(0, 256, (50, 8, 8))))
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 255
    for number, content in enumerate((whole[:-20], bytes(broken), whole[:3])):
        path = tmp_path / str(number)
        path.write_bytes(content)
        with pytest.raises(DataError, match="Fetch the file again"):
            read_idx(path, 3)


def test_a_gzip_bomb_is_not_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(gzip.compress(GOOD + b"\0" * 2**26))
    tracemalloc.start()
    with pytest.raises(DataError, match="Found more"):
        read_idx(path, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


@given(st.binary(max_size=64))
def test_any_bytes_are_an_array_or_a_data_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("idx") / "file"
    for start in (b"", b"\0\0\x08\x01", b"\x1f\x8b\x08\0"):
        path.write_bytes(start + content)
        try:
            values = read_idx(path, 1)
        except DataError:
            continue
        assert values.tobytes() == content[4:]
        assert start == b"\0\0\x08\x01"


def test_labels_and_images_must_be_as_many(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / divided_data.IDX_NAMES[1]).write_bytes(idx_bytes(np.arange(39) % 3))
    with pytest.raises(DataError, match="Found 40 and 39 labels"):
        IDX(train_limit=5).load(tmp_path)


def test_the_files_of_one_set_come_from_one_folder(tmp_path: Path) -> None:
    write_idx(tmp_path)
    (tmp_path / "part").mkdir()
    for name in divided_data.IDX_NAMES[:2]:
        (tmp_path / name).rename(tmp_path / "part" / name)
    with pytest.raises(DataError, match="lacks 't10k-images-idx3-ubyte'"):
        IDX(folder="part").load(tmp_path)


# ---------------------------------------------------------------------------------------------------- Fashion-MNIST


@pytest.mark.parametrize("folder", [".", "fashion-mnist", "FashionMNIST/raw"])
def test_fashion_mnist_files_in_a_root(tmp_path: Path, folder: str) -> None:
    images = write_idx(tmp_path / folder, zipped=folder == ".")
    data = FashionMNIST().load(tmp_path)
    np.testing.assert_array_equal(data.train_x, (images[:, None] / 255).astype(np.float32))
    assert data.classes[9] == "Ankle boot"


def test_fashion_mnist_is_found_by_the_environment_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path)
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert FashionMNIST().load().input_shape == (1, 4, 3)


def test_absent_fashion_mnist_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(divided_data, "_DEBIAN_FASHION", tmp_path / "usr")
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist"):
        FashionMNIST().load(tmp_path)


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="the Debian package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist() -> None:
    data = FashionMNIST(train_limit=1000, test_limit=500).load()
    assert (data.train_x.shape, data.test_x.shape) == ((1000, 1, 28, 28), (500, 1, 28, 28))
    assert np.bincount(data.train_y).tolist() == [100] * 10
    assert data.chance == pytest.approx(0.1)
    assert data.train_x.mean() == pytest.approx(0.286, abs=0.02)  # the known mean of the whole set is 0.2860


# ---------------------------------------------------------------------------------------------------- NPZ


def save_npz(path: Path, x: Array, y: Array, **changes: Array) -> None:
    arrays = {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4]}
    np.savez_compressed(path, **{**arrays, **changes})  # type: ignore[arg-type]


IMAGES = rng().integers(0, 256, (6, 5, 5, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize(
    ("stored", "channels", "expected"),
    [
        (IMAGES, "auto", IMAGES.transpose(0, 3, 1, 2) / 255),
        (IMAGES.transpose(0, 3, 1, 2), "auto", IMAGES.transpose(0, 3, 1, 2) / 255),
        (IMAGES[:, :3], "last", IMAGES[:, :3].transpose(0, 3, 1, 2) / 255),
        (IMAGES[:, :3], "first", IMAGES[:, :3] / 255),
        (IMAGES[..., 0], "auto", IMAGES[:, None, :, :, 0] / 255),
        (IMAGES[:, 0, 0] / 7.0, "auto", IMAGES[:, 0, 0] / 7.0),
        (IMAGES[:, 0, 0].astype(np.int32), "auto", IMAGES[:, 0, 0]),
    ],
)
def test_npz_layouts(tmp_path: Path, stored: Array, channels: Any, expected: Array) -> None:
    save_npz(tmp_path / "a.npz", stored, LABELS)
    data = NPZ(path="a.npz", channels=channels).load(tmp_path)
    np.testing.assert_allclose(data.train_x, expected, rtol=1e-6)
    assert data.train_x.flags.c_contiguous


def test_npz_keys_columns_of_labels_and_text_labels(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        a=np.eye(4),
        b=np.array([["dog"], ["cat"], ["dog"], ["eel"]]),
        c=np.eye(4)[:2],
        d=np.array(["cat", "eel"]),
    )
    data = NPZ(path="a.npz", x_train="a", y_train="b", x_test="c", y_test="d").load(tmp_path)
    assert (data.classes, data.train_y.tolist(), data.test_y.tolist()) == (("cat", "dog", "eel"), [1, 0, 1, 2], [0, 2])


class Trap:
    """Fails the test when somebody unpickles it."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, ("raise SystemExit('unpickled')",)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.array([Trap()], dtype=object)}, "unpickling"),
        ({"y_test": np.zeros(4, dtype=[("a", "i4")])}, "fixed-length"),
        ({"x_train": np.full((6, 2), np.nan)}, "Sample 0"),
        ({"x_train": np.zeros((6, 2, 2, 2, 2))}, "2, 3 or 4 axes"),
        ({"x_train": np.zeros((6, 3, 5, 3))}, "channels='first'"),
        ({"x_train": np.zeros((6, 5, 5, 5))}, "channels='first'"),
        ({"x_train": np.zeros((6, 2), complex)}, "real numbers"),
        ({"x_train": np.zeros((5, 5, 5, 3))}, "5 and 6 labels"),
        ({"y_train": np.eye(6)}, "argmax"),
        ({"y_train": np.zeros(6)}, r"integers or texts.*become integers by `labels\.astype\(int\)`"),
        ({"y_test": np.array([0, 1, 2, 9])}, "'9'"),
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(4, int)}, "two or more"),
    ],
)
def test_malformed_npz_arrays_are_refused(tmp_path: Path, changes: dict[str, Array], message: str) -> None:
    save_npz(tmp_path / "a.npz", IMAGES, LABELS, **changes)
    with pytest.raises(DataError, match=message):
        NPZ(path="a.npz").load(tmp_path)


def test_an_absent_key_is_named(tmp_path: Path) -> None:
    save_npz(tmp_path / "a.npz", IMAGES, LABELS)
    with pytest.raises(DataError, match=r"`xtrain`. Did you mean 'x_train'"):
        NPZ(path="a.npz", x_train="xtrain").load(tmp_path)


@pytest.mark.parametrize("shape", [(2**40, 2**20), (6, 2), (6, 4), (6, -3)], ids=str)
def test_an_npz_header_is_not_believed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    save_npz(tmp_path / "good.npz", IMAGES, LABELS)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "bad.npz", "w") as bad:
        for name in good.namelist():
            bad.writestr(name, stream.getvalue() + b"\0" * 18 if name == "x_train.npy" else good.read(name))
    with pytest.raises(DataError, match=f"claims {math.prod(shape)} bytes.*the file lists 18"):
        NPZ(path="bad.npz").load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\3\4 not a zip", pickle.dumps(Trap())])
def test_what_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        NPZ(path="a.npz").load(tmp_path)


def test_damaged_npz_files_are_refused_or_read_never_crash(tmp_path: Path) -> None:
    save_npz(tmp_path / "good.npz", IMAGES, LABELS)
    whole = (tmp_path / "good.npz").read_bytes()
    refused = 0
    for position in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[position] ^= 255
        path = tmp_path / f"{position}.npz"
        path.write_bytes(damaged)
        try:
            data = NPZ(path=path.name).load(tmp_path)
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(data.train_x, NPZ(path="good.npz").load(tmp_path).train_x)
    assert refused > 20


# ---------------------------------------------------------------------------------------------------- CIFAR-10


def write_cifar(folder: Path) -> Array:
    folder.mkdir()
    generator = rng()
    batches = [generator.integers(0, 256, (4, 3073), dtype=np.uint8) for _ in range(6)]
    for number, batch in enumerate(batches):
        batch[:, 0] %= 10
        name = "test_batch.bin" if number == 5 else f"data_batch_{number + 1}.bin"
        (folder / name).write_bytes(batch.tobytes())
    return np.concatenate(batches[:5])


def test_cifar10(tmp_path: Path) -> None:
    records = write_cifar(tmp_path / "cifar-10-batches-bin")
    data = CIFAR10().load(tmp_path)
    assert data.train_x.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(data.train_y, records[:, 0])
    np.testing.assert_allclose(data.train_x[7, 2, 31, 30], records[7, 3072 - 1] / 255, rtol=1e-6)
    assert data.classes[0] == "airplane"


@pytest.mark.parametrize("folder", ["cifar-10-batches-bin", "cifar-10-batches-py", "mine"])
def test_the_pickled_cifar10_is_refused_and_not_read(tmp_path: Path, folder: str) -> None:
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    (place / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(DataError, match=r"pickled.*cifar-10-binary\.tar\.gz"):
        CIFAR10(folder=folder).load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 3072, b"\0" * 3074, b"\x0a" + b"\0" * 3072, b"\0" * 3073 * 10001])
def test_malformed_cifar10_batches_are_refused(tmp_path: Path, content: bytes) -> None:
    write_cifar(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin" / "data_batch_3.bin").write_bytes(content)
    with pytest.raises(DataError, match=r"data_batch_3\.bin"):
        CIFAR10().load(tmp_path)
