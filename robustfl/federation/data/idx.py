"""Reading untrusted IDX files, the format of MNIST and its relatives.

An IDX file consists of two zero bytes, a type code, the number of dimensions, each dimension as a big-endian 32-bit
integer, and the values. Only unsigned bytes (type 8) occur in image sets. No memory is allocated merely because a
header asks for it.
"""

from __future__ import annotations

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError

LARGEST = 2**30
"""The largest number of values read from one file: EMNIST by class, the largest of the family, has 0.64 * 10^9."""

DEFLATE_RATIO = 1032
"""Deflate cannot shrink data by more than this factor, so the size of a file bounds the size of its content."""

_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 2**20


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The array in an IDX file, plain or gzipped (the content decides which, not the name).

    `dimensions` is 3 for images ([N, height, width]) and 1 for labels ([N]).

    Raises DataError when the header is not that of an IDX file, or the size that it states does not fit the file.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if zipped:
                with gzip.open(file) as stream:
                    return _parse(stream, path, dimensions, path.stat().st_size * DEFLATE_RATIO)
            return _parse(file, path, dimensions, path.stat().st_size)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Fetch the file again.") from error


def _parse(stream: io.BufferedIOBase, path: Path, dimensions: int, most: int) -> npt.NDArray[np.uint8]:
    """The array in an open stream that holds at most `most` bytes."""
    shape = _shape(stream.read(4 + 4 * dimensions), path, dimensions)
    size = math.prod(shape)
    if size > min(most, LARGEST):
        raise DataError(
            f"{path} claims {size} values ({' x '.join(map(str, shape))}), more than "
            f"{'a file of its size can hold' if size > most else f'the limit of {LARGEST}'}. Fetch the file again."
        )
    content = bytearray()
    while len(content) <= size and (chunk := stream.read(min(_CHUNK, size + 1 - len(content)))):
        content += chunk
    if len(content) != size:
        found = f"{len(content)}" if len(content) < size else "more"
        raise DataError(f"{path} should hold {size} values after its header. Found {found}. Fetch the file again.")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _shape(header: bytes, path: Path, dimensions: int) -> tuple[int, ...]:
    expected = bytes((0, 0, _UNSIGNED_BYTE, dimensions))
    if header[:4] != expected or len(header) < 4 + 4 * dimensions:
        raise DataError(
            f"{path} should be an IDX file of unsigned bytes in {dimensions} dimension(s), so begin with "
            f"{expected.hex(' ')} and {dimensions} length(s). Found {header[:4].hex(' ') or 'nothing'}."
        )
    shape: tuple[int, ...] = struct.unpack(f">{dimensions}I", header[4:])
    if 0 in shape:
        raise DataError(f"{path} should not be empty. Found {' x '.join(map(str, shape))} values.")
    return shape
