"""Flow records of a network as intrusion detection has them, made by a generator: no file is needed.

The records are written as a CSV file with the warts of real ones, and read as any other CSV file:

>>> from robustfl.federation.data.data_sets import Flows
>>> flows = Flows(rows=400).load()
>>> flows.classes, len(flows.owners)
(('Benign', 'Botnet', 'Brute Force', 'DoS', 'Port Scan'), 12)
>>> flows.notes[0]
'There are several columns `Fwd Header Length`; a later one is called `Fwd Header Length.1`.'
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import Doc

from robustfl.federation.data.csv_tables import CSV
from robustfl.federation.data.dataset import Data, Dataset

HEADER = (
    "Flow ID, Source Site, Timestamp, Destination Port, Protocol, Flow Duration,Total Fwd Packets,"
    " Total Backward Packets,Fwd Header Length, Fwd Packet Length Mean,Flow Bytes/s, SYN Flag Count, Idle Mean,"
    "Fwd Header Length,State, Label,Attack"
)
"""The first line: names with a space in front, a column that comes twice, and a second label."""

_KINDS = ("Benign", "DoS", "Port Scan", "Brute Force", "Botnet")
_SHARES = (0.72, 0.1, 0.08, 0.06, 0.04)
_PORTS = ((80, 443, 53, 22, 25, 3306), (80, 443), (0,), (21, 22), (6667, 8080, 443))
_USUAL = (
    (9.0, 2.2, 2.4, 5.5),
    (11.0, 4.5, 0.7, 3.5),
    (3.0, 0.4, 0.2, 0.8),
    (8.0, 2.6, 2.7, 3.9),
    (12.5, 1.6, 1.4, 4.6),
)
"""Of each kind: the logarithms of duration, packets forth, packets back and mean length of a packet."""
_STATES = (("FIN", "CON", "-"), ("CON", "RST"), ("RST", "REJ"), ("FIN", "RST"), ("CON", "-"))


@dataclass(frozen=True, kw_only=True)
class Flows(Data):
    """Generated flow records of twelve sites, five kinds of which most are benign; they need no file.

    The file that is read has what such files have: names with spaces, a column that comes twice, rates that are
    infinite where a flow took no time, missing values, columns that only name a flow, and a second label. The sites
    differ in what they see, so `by_client` with twelve clients is the natural split. Seven of ten records are benign:
    look at the balanced accuracy. The records are those of no real network.

    Shapes: [features], numbers and one-hot categories.
    """

    tabular: ClassVar[bool] = True

    rows: Annotated[int, Ge(200), Le(1_000_000), Doc("number of records, for training and test together")] = 4000
    noise: Annotated[float, Gt(0), Doc("how far flows of one kind differ, in logarithms: 1 is about e times")] = 0.8
    test_fraction: Annotated[float, Gt(0), Lt(1), Doc("share of the records kept for the test")] = 0.25
    seed: Annotated[int, Ge(0), Doc("seed of the records and of their division")] = 0

    def write(self, path: Path) -> None:
        """Write the records as a CSV file, for example to try the data set `csv` with."""
        rng = np.random.default_rng([self.seed, 2017])
        sites = rng.permutation(np.arange(self.rows) % 12)
        leanings = rng.dirichlet(np.full(len(_KINDS) - 1, 0.4), size=12)  # what each site is attacked with
        lines = [HEADER]
        for number in range(self.rows):
            site = int(sites[number])
            kind = 0
            if rng.random() > _SHARES[0]:
                chance = leanings[site] * _SHARES[1:] + 0.02
                kind = 1 + int(rng.choice(len(_KINDS) - 1, p=chance / chance.sum()))
            duration, forth, back, length = np.exp(rng.normal(_USUAL[kind], self.noise))
            forth, back = int(np.ceil(forth)), int(back)
            took = 0 if rng.random() < (0.3 if kind == 2 else 0.02) else int(duration)
            total = (forth + back) * length
            rate = "Infinity" if took == 0 and total else f"{total / max(took, 1) * 1e3:.4f}"
            idle = "" if rng.random() < 0.05 else f"{rng.exponential(took + 1):.1f}"
            port = int(rng.choice(_PORTS[kind])) if kind != 2 else int(rng.integers(1, 65536))
            protocol = "UDP" if port == 53 or rng.random() < 0.05 else "TCP"
            syn = int(rng.random() < (0.9 if kind in (1, 2) else 0.3))
            state = rng.choice(_STATES[kind])
            lines.append(
                f"10.0.{site}.{number % 250}-{number},site {site},3/7/2017 {9 + number % 9}:{number % 60:02d},{port},"
                f"{protocol},{took},{forth},{back},{20 * forth},{length:.3f},{rate},{syn},{idle},{20 * forth},"
                f"{state},{_KINDS[kind]},{int(kind > 0)}"
            )
        path.write_text("\n".join(lines) + "\n", encoding="latin-1")

    def _read(self, roots: tuple[Path, ...]) -> Dataset:
        reader = CSV(
            path="flows.csv",
            label_column="Label",
            client_column="Source Site",
            ignore=("Flow ID", "Timestamp", "Fwd Header Length.1", "Attack"),
            encoding="latin-1",
            infinite="missing",
            test_fraction=self.test_fraction,
            split_seed=self.seed,
        )
        with tempfile.TemporaryDirectory() as folder:
            self.write(Path(folder) / reader.path)
            return replace(reader._read((Path(folder),)), name=self.name)
