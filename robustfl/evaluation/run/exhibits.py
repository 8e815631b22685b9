"""The exhibits of a run: the folder `exhibits` holds, for trials that somebody watched, samples beside reconstructions.

Each file is an npz archive of at most 8 pairs (see :class:`robustfl.federation.observers.leakage.Exhibit`), written in
one step. The record of its trial holds the hash of the arrays, so that an exhibit which was altered, or belongs to
another trial, is noticed when it is read.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from robustfl.appending import renamed_aside
from robustfl.errors import StoreError
from robustfl.evaluation.results.store import write_atomically

if TYPE_CHECKING:
    from robustfl.evaluation.results.records import Record
    from robustfl.federation.observers.leakage import Exhibit

FOLDER, SUFFIX = "exhibits", ".npz"

LARGEST = 64 << 20
"""The largest number of bytes of a file that is read; 8 pairs of images of 1000 x 1000 pixels in color take less."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pairs:
    """What a file of exhibits holds.

    Attributes
    ----------
    attack : the label of the attack
    originals, found : [p, *shape] float32 from 0 to 1; NaN where a sample has no reconstruction
    psnr : [p] in dB
    """

    attack: str
    originals: NDArray[np.float32]
    found: NDArray[np.float32]
    psnr: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """The hash of the label and of the arrays with their shapes."""
        content = hashlib.sha256(self.attack.encode())
        for array in (self.originals, self.found, self.psnr):
            content.update(f"{array.dtype.str}{array.shape}".encode())
            content.update(np.ascontiguousarray(array).tobytes())
        return content.hexdigest()


@dataclass(frozen=True)
class Exhibits:
    """The exhibits of the run in folder `out`."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out / FOLDER

    def path(self, trial: str) -> Path:
        """The file of a trial."""
        return self.folder / f"{trial}{SUFFIX}"

    def keep(self, trial: str, exhibit: Exhibit) -> dict[str, Any]:
        """Write the exhibit of a trial, and return what its record says of it."""
        pairs = Pairs(
            attack=exhibit.attack,
            originals=exhibit.originals.numpy().astype(np.float32),
            found=exhibit.found.numpy().astype(np.float32),
            psnr=exhibit.psnr.numpy().astype(np.float64),
        )
        content = io.BytesIO()
        np.savez_compressed(
            content, attack=np.array(pairs.attack), originals=pairs.originals, found=pairs.found, psnr=pairs.psnr
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path(trial), content.getvalue())
        return {"pairs": len(pairs.psnr), "digest": pairs.digest}

    def read(self, record: Record) -> Pairs | None:
        """The exhibit that a record names; None if it names none.

        Raises StoreError for a file that is missing, damaged, or not the one that the record names.
        """
        told = record.get("exhibit")
        if told is None:
            return None
        path = self.path(record["trial"])
        try:
            if path.stat().st_size > LARGEST:
                raise ValueError(f"it has more than {LARGEST >> 20} MiB")
            with np.load(path, allow_pickle=False) as held:
                pairs = Pairs(
                    attack=str(held["attack"]), originals=held["originals"], found=held["found"], psnr=held["psnr"]
                )
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise StoreError(f"{path} cannot be read: {error}. Run its trial again.") from None
        if pairs.digest != told["digest"]:
            raise StoreError(f"{path} is not the exhibit that its record names. Run its trial again.")
        return pairs

    def tidy(self, *, aside: bool = False) -> None:
        """Remove what killed writers have left; with `aside` rename the folder to `exhibits.N.bak`.

        It must be called before any exhibit is written.
        """
        for left in self.folder.glob(f".*{SUFFIX}.*"):
            left.unlink()
        if aside and self.folder.exists():
            renamed_aside(self.folder)
