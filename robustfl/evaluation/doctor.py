"""Examines the installation and the data sets, for the commands `robustfl doctor` and `robustfl data`."""

from __future__ import annotations

import os
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

from robustfl import __version__, registry
from robustfl.errors import DataError, RobustflError
from robustfl.evaluation.machine import installed, processor_name

NEEDED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "numba": "numba",
    "scikit-learn": "sklearn",
    "pydantic": "pydantic",
}
"""The packages without which robustfl cannot work, and the modules by which they are imported."""


def data_overview(root: Path | None) -> dict[str, Any]:
    """The folders in which data are searched, and the named data sets with their status."""
    from robustfl.federation.data.files import data_roots

    entries = []
    for name, cls in registry.find("data").items():
        required = [parameter.name for parameter in cls.declared_parameters() if parameter.required]
        if required:
            status, detail = "needs parameters", ", ".join(required)
        else:
            try:
                dataset = registry.build("data", name).outline(root)
                status, detail = "ready", f"{len(dataset.train_y)} training and {len(dataset.test_y)} test samples"
            except DataError as error:
                status, detail = "missing", str(error)
        entries.append({"name": name, "status": status, "detail": detail})
    return {"roots": [str(path) for path in data_roots(root)] or ["(no folder given)"], "data": entries}


def dataset_facts(spec: str, root: Path | None) -> dict[str, Any]:
    """The facts about one data set, named as in a scenario: its sizes, shape, classes and samples per class."""
    import numpy as np

    from robustfl.evaluation.suite.yaml import read_yaml
    from robustfl.federation.data.dataset import Data

    data = registry.build("data", read_yaml(spec, "the name of the data"))
    assert isinstance(data, Data)
    dataset = data.outline(root)
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
        "owners": list(dataset.owners),
        "notes": list(dataset.notes),
    }


def examine() -> list[dict[str, str]]:
    """The checks of `robustfl doctor`; the status `bad` means that robustfl cannot work, `note` that it is limited.

    A check that breaks is `bad`, with the error, and the others still run.
    """
    checks = [_check("robustfl", "ok", __version__), _check("python", "ok", sys.version.split()[0])]
    checks += [_package(*needed) for needed in NEEDED.items()]
    for package in ("opacus", "ray", "flwr", "nvflare", "pfl"):
        found = installed(package)
        checks.append(_check(f"{package} (optional)", "note" if found == "not installed" else "ok", found))
    checks.append(_check("processor", "ok", f"{processor_name()}, {os.cpu_count()} cores"))
    for name, further in (("cuda", _cuda), ("plug-ins", _plugins), ("data", _data), ("aggregation", _aggregation)):
        try:
            checks += further()
        except Exception as error:  # whatever is wrong with the installation is what this command is asked for
            checks.append(_check(name, "bad", f"{type(error).__name__}: {error}"))
    return checks


def _check(name: str, status: str, detail: str) -> dict[str, str]:
    return {"check": name, "status": status, "detail": detail}


def _package(package: str, module: str) -> dict[str, str]:
    """Whether a package is installed and can be imported: a broken one may have a version all the same."""
    found = installed(package)
    try:
        import_module(module)
    except Exception as error:
        return _check(package, "bad", f"{found}; import {module}: {type(error).__name__}: {error}")
    return _check(package, "ok", found)


def _cuda() -> list[dict[str, str]]:
    import torch

    if not torch.cuda.is_available():
        return [_check("cuda", "note", "no CUDA device; everything runs on the CPU")]
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))
    return [_check("cuda", "ok", names)]


def _plugins() -> list[dict[str, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        registry.find.cache_clear()
        count = sum(len(registry.catalogue(kind)) for kind in registry.kinds())
    if caught:
        return [_check("plug-ins", "bad", "; ".join(str(item.message) for item in caught))]
    return [_check("plug-ins", "ok", f"{count} named things found")]


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


def _aggregation() -> list[dict[str, str]]:
    import numpy as np

    rows = np.random.default_rng(0).normal(size=(9, 1000)).astype(np.float32)
    rows[0] = np.nan
    try:
        value = registry.build("defense", "nnm >> trimmed_mean", f=2)(rows)
    except RobustflError as error:
        return [_check("aggregation", "bad", str(error))]
    fine = bool(np.isfinite(value).all())
    return [_check("aggregation", "ok" if fine else "bad", "NNM >> TrimmedMean on 9 rows, one of them NaN")]
