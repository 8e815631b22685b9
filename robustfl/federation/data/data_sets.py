"""The data sets that robustfl knows by name."""

from __future__ import annotations

from robustfl.federation.data.csv_tables import CSV
from robustfl.federation.data.digits import Digits
from robustfl.federation.data.flows import Flows
from robustfl.federation.data.images import CIFAR10, IDX, NPZ, FashionMNIST
from robustfl.federation.data.sessions import Sessions
from robustfl.federation.data.transferred import Transferred

__all__ = ["CIFAR10", "CSV", "IDX", "NPZ", "Digits", "FashionMNIST", "Flows", "Sessions", "Transferred"]
