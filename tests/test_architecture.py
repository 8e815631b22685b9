"""The two import laws, the floors of the machine, and the import budget."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MACHINE = ROOT / "robustfl"
FOLDERS = ("attacks", "defenses", "scenarios", "reports")
FLOORS = {
    "errors": 0,
    "wording": 0,
    "appending": 0,
    "components": 0,
    "aggregation": 1,
    "threats": 1,
    "privacy": 1,
    "reputation": 1,
    "registry": 1,
    "federation": 2,
    "evaluation": 3,
    "adapters": 4,
    "testing": 4,
    "console": 5,
    "lookups": 5,
    "cli": 5,
    "__main__": 6,
}


def imported(path: Path) -> list[str]:
    """All modules of robustfl that a file imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.append(node.module)
            found += [f"{node.module}.{alias.name}" for alias in node.names if node.module == "robustfl"]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return [name for name in found if name.split(".")[0] == "robustfl"]


@pytest.mark.parametrize("path", sorted(MACHINE.rglob("*.py")), ids=lambda path: str(path.relative_to(MACHINE)))
def test_no_import_goes_up(path: Path) -> None:
    relative = path.relative_to(MACHINE).with_suffix("").parts
    if relative == ("__init__",):
        return
    own = FLOORS[relative[0]]
    for name in imported(path):
        floor = name.split(".")[1] if "." in name else None
        if floor in FLOORS and floor != relative[0]:
            assert FLOORS[floor] <= own, f"{path.name} on floor {own} imports {name}"


def ruff(code: str, name: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", str(ROOT / name), "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, cwd=ROOT, check=False).stdout


def test_lint_refuses_a_machine_that_names_a_plugin_folder() -> None:
    for folder in FOLDERS:
        assert "TID251" in ruff(f"from robustfl.{folder} import x as x\n", "robustfl/federation/planted.py")


def test_lint_refuses_climbing_out_of_a_folder() -> None:
    assert "TID252" in ruff("from ..aggregation import Gram as Gram\n", "defenses/planted.py")


def test_lint_accepts_what_the_laws_allow() -> None:
    code = "from robustfl.aggregation import Gram as Gram\n\nfrom .mean import Mean as Mean\n"
    assert "All checks passed" in ruff(code, "defenses/planted.py")


def test_importing_robustfl_loads_nothing_heavy() -> None:
    heavy = {"torch", "numba", "scipy", "sklearn", "pydantic", "numpy"}
    code = f"import robustfl, sys; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_defenses_loads_no_deep_learning_framework() -> None:
    code = "import robustfl.defenses, robustfl.attacks, sys; print(sorted({'torch', 'numba'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
