"""Reading named arrays from an untrusted .npz file: nothing is unpickled, and every stated size is checked."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError, did_you_mean
from robustfl.federation.data.idx import DEFLATE_RATIO

LARGEST = 2**33
"""The largest number of bytes that one array may need."""

_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: Path, keys: Sequence[str]) -> tuple[npt.NDArray[Any], ...]:
    """The arrays that `keys` name, in that order.

    Raises DataError when the file is not an .npz file or lacks a key, or when an array holds Python objects or states a
    size that the file cannot hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.removesuffix(".npy"): archive.getinfo(name) for name in archive.namelist()}
            for key in keys:
                if key not in members:
                    raise DataError(f"{path} should hold an array `{key}`. {did_you_mean(key, members)}")
            return tuple(_array(archive, members[key], f"{path}: `{key}`", path) for key in keys)
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        # A malformed array header raises ValueError; unknown or encrypted compression raises the other two.
        raise DataError(f"{path} cannot be read as .npz: {error}. Write it with numpy.savez_compressed.") from error


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, what: str, path: Path) -> npt.NDArray[Any]:
    """One array; its header is checked against the archive before numpy allocates memory for it."""
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _READERS:
            raise DataError(f"{what} should be a plain array. Found array format version {version}.")
        shape, _, dtype = _READERS[version](stream)
        header = stream.tell()
    if dtype.hasobject or dtype.fields is not None:
        raise DataError(
            f"{what} should hold numbers or fixed-length texts. Found dtype {dtype}: reading it would mean unpickling, "
            f"which can run code. Convert it, for example with `array.astype(str)`, and save again."
        )
    size = math.prod(shape) * dtype.itemsize
    if size != member.file_size - header or size > min(LARGEST, path.stat().st_size * DEFLATE_RATIO):
        raise DataError(
            f"{what} claims {size} bytes (shape {shape}, {dtype}); the file lists {member.file_size - header}, can "
            f"hold {path.stat().st_size * DEFLATE_RATIO}, and the limit is {LARGEST}. Save the file again."
        )
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array
