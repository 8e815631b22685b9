"""Reading the binary version of CIFAR-10: records of one label byte and 3 x 32 x 32 colour bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from robustfl.errors import DataError
from robustfl.federation.data.files import inside

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"

_IMAGE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_MOST_RECORDS = 10_000


def read_batch(path: Path) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The images [N, 3, 32, 32] and the labels [N] of one batch file.

    Raises DataError when the file does not consist of 1 to 10000 complete records, or a label is above 9.
    """
    size = path.stat().st_size
    if size == 0 or size % _RECORD or size > _MOST_RECORDS * _RECORD:
        raise DataError(
            f"{path} should be 1 to {_MOST_RECORDS} records of {_RECORD} bytes. Found {size} bytes. Fetch it again."
        )
    try:
        records = np.fromfile(path, dtype=np.uint8).reshape(-1, _RECORD)  # [N, 3073]
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    labels = records[:, 0]
    if labels.max() >= len(CLASSES):
        record = int(labels.argmax())
        raise DataError(f"{path}: labels should lie from 0 to 9. Record {record} has {labels[record]}. Fetch it again.")
    return records[:, 1:].reshape(-1, *_IMAGE), labels


def refuse_pickles(roots: Sequence[Path], folder: str) -> None:
    """Raise DataError when `folder`, or its usual sibling, holds the pickled Python version, not the binary one."""
    for root in roots:
        if inside(root, f"{folder}/{TRAIN_FILES[0]}").is_file():
            return
    for root in roots:
        for place in (folder, "cifar-10-batches-py"):
            if inside(root, f"{place}/data_batch_1").is_file():
                raise DataError(
                    f"{root / place} holds the Python version of CIFAR-10, which is pickled: reading a pickle can run "
                    f"any code, so robustfl never unpickles data. Fetch the binary version (cifar-10-binary.tar.gz) "
                    f"and unpack it to {root / 'cifar-10-batches-bin'}."
                )
