"""Examines the installation and the data sets, for the commands `robustfl doctor` and `robustfl data`."""

from __future__ import annotations

import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from robustfl import __version__, registry
from robustfl.errors import DataError, RobustflError
from robustfl.evaluation.run.provenance import installed, processor_name
from robustfl.evaluation.suite.yaml import read_yaml
from robustfl.federation.data.dataset import Data
from robustfl.federation.data.files import data_roots


def data_overview(root: Path | None) -> dict[str, Any]:
    """The folders in which data are searched, and the named data sets with their status."""
    entries = []
    for name, cls in registry.find("data").items():
        required = [parameter.name for parameter in cls.declared_parameters() if parameter.required]
        if required:
            status, detail = "needs parameters", ", ".join(required)
        else:
            try:
                dataset = registry.build("data", name).load(root)
                status, detail = "ready", f"{len(dataset.train_y)} training and {len(dataset.test_y)} test samples"
            except DataError as error:
                status, detail = "missing", str(error)
        entries.append({"name": name, "status": status, "detail": detail})
    return {"roots": [str(path) for path in data_roots(root)] or ["(no folder given)"], "data": entries}


def dataset_facts(spec: str, root: Path | None) -> dict[str, Any]:
    """The facts about one data set, named as in a scenario: its sizes, shape, classes and samples per class."""
    data = registry.build("data", read_yaml(spec, "the name of the data"))
    assert isinstance(data, Data)
    dataset = data.load(root)
    classes = len(dataset.classes)
    return {
        "name": dataset.name,
        "train": len(dataset.train_y),
        "test": len(dataset.test_y),
        "input_shape": list(dataset.input_shape),
        "classes": list(dataset.classes),
        "train_counts": np.bincount(dataset.train_y, minlength=classes).tolist(),
        "test_counts": np.bincount(dataset.test_y, minlength=classes).tolist(),
        "chance": round(float(dataset.chance), 6),
    }


def examine() -> list[dict[str, str]]:
    """The checks of `robustfl doctor`; the status `bad` means that robustfl cannot work, `note` that it is limited."""
    checks = [_check("robustfl", "ok", __version__), _check("python", "ok", sys.version.split()[0])]
    for package in ("numpy", "scipy", "torch", "numba", "scikit-learn", "pydantic"):
        found = installed(package)
        checks.append(_check(package, "bad" if found == "not installed" else "ok", found))
    for package in ("opacus", "ray", "flwr", "nvflare", "pfl"):
        found = installed(package)
        checks.append(_check(f"{package} (optional)", "note" if found == "not installed" else "ok", found))
    checks.append(_check("processor", "ok", f"{processor_name()}, {os.cpu_count()} cores"))
    checks.append(_cuda())
    checks.append(_plugins())
    return [*checks, *_data(), _aggregation()]


def _check(name: str, status: str, detail: str) -> dict[str, str]:
    return {"check": name, "status": status, "detail": detail}


def _cuda() -> dict[str, str]:
    import torch

    if not torch.cuda.is_available():
        return _check("cuda", "note", "no CUDA device; everything runs on the CPU")
    return _check("cuda", "ok", ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())))


def _plugins() -> dict[str, str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        registry.find.cache_clear()
        count = sum(len(registry.catalogue(kind)) for kind in registry.kinds())
    if caught:
        return _check("plug-ins", "bad", "; ".join(str(item.message) for item in caught))
    return _check("plug-ins", "ok", f"{count} named things found")


def _data() -> list[dict[str, str]]:
    try:
        entries = data_overview(None)["data"]
    except DataError as error:  # the data root itself is wrong
        return [_check("data", "bad", str(error))]
    return [
        _check(f"data {entry['name']}", "ok" if entry["status"] == "ready" else "note", entry["detail"])
        for entry in entries
        if entry["status"] != "needs parameters"
    ]


def _aggregation() -> dict[str, str]:
    rows = np.random.default_rng(0).normal(size=(9, 1000)).astype(np.float32)
    rows[0] = np.nan
    try:
        value = registry.build("defense", "nnm >> trimmed_mean", f=2)(rows)
    except RobustflError as error:
        return _check("aggregation", "bad", str(error))
    fine = bool(np.isfinite(value).all())
    return _check("aggregation", "ok" if fine else "bad", "NNM >> TrimmedMean on 9 rows, one of them NaN")
