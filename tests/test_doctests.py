"""The examples in docstrings, run under their public names."""

from __future__ import annotations

import doctest
import importlib
import inspect
from importlib.util import find_spec
from types import ModuleType

import pytest

import robustfl.attacks
import robustfl.defenses
from robustfl.errors import MissingExtraError
from tests.imports import modules

NAMES = sorted(set(modules()) - {"robustfl.__main__"})
"""Every module of the machine and of the plug-in folders; importing the one that is left out runs the command."""

FRAMEWORKS = {
    "robustfl.adapters.flower": "flwr",
    "robustfl.adapters.flower_rules": "flwr",
    "robustfl.adapters.nvflare": "nvflare",
    "robustfl.adapters.pfl": "pfl",
}
"""The modules that need a framework, and the package of that framework."""


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_are_true(name: str) -> None:
    if ".triton_" in name and find_spec("triton") is None:
        pytest.skip("Triton is not installed")
    framework = FRAMEWORKS.get(name)
    if framework is not None and find_spec(framework) is None:  # its environment runs the examples: `make adapter-...`
        with pytest.raises(MissingExtraError, match=r"pip install 'robustfl\[(flower|nvflare|pfl)\]'"):
            importlib.import_module(name)
        return
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("folder", [robustfl.attacks, robustfl.defenses], ids=lambda folder: folder.__name__)
def test_everything_public_has_an_example(folder: ModuleType) -> None:
    without = [
        name
        for name, value in vars(folder).items()
        if inspect.isclass(value)
        and value.__module__.startswith(folder.__name__)
        and ">>>" not in (value.__doc__ or "")
    ]
    assert without == []
