"""Scripts that import modules by former names find what is there today, and nothing else is forwarded."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from robustfl.moved import MOVED


@pytest.mark.parametrize("former", MOVED)
def test_a_former_name_leads_to_the_module_of_today(former: str) -> None:
    sys.modules.pop(f"robustfl.{former}", None)
    with pytest.warns(DeprecationWarning, match=rf"robustfl\.{former} is now robustfl\.{MOVED[former]}\."):
        found = import_module(f"robustfl.{former}")
    today = import_module(f"robustfl.{MOVED[former]}")
    assert found is not today
    public = [name for name in vars(today) if not name.startswith("_")]
    assert public
    assert all(getattr(found, name) is getattr(today, name) for name in public)
    assert not hasattr(found, "nothing_of_this_name")


@pytest.mark.parametrize("name", ["robustfl.evaluation.nowhere", "robustfl.store", "evaluation.store"])
def test_other_names_are_not_found(name: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module(name)


def test_forwarding_imports_nothing_before_it_is_asked() -> None:
    code = "import sys, robustfl; sys.exit('robustfl.evaluation' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
