"""The laws of imports: none goes up, none goes in a circle, no folder is climbed out of, and imports stay cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.imports import PLUGIN_FOLDERS, ROOT, Graph, circles, import_graph, modules, told

FLOORS = (
    ("errors",),
    ("own_files",),
    ("functions",),
    ("appending", "components", "measures", "wording"),
    ("graphs", "privacy"),
    ("aggregation.kernels",),
    ("aggregation.updates",),
    ("aggregation",),
    ("threats.knowledge",),
    ("threats.attack",),
    ("threats.adversary",),
    ("threats.updates",),
    (
        *("threats.data", "threats.evasion", "threats.faults", "threats.peers"),
        *("threats.predictions", "threats.privacy", "threats.rankings"),
    ),
    ("threats", "reputation"),
    ("isolation",),
    ("attacks", "defenses", "federation"),
    ("registry",),
    ("server",),
    ("evaluation.hashing", "evaluation.labels", "evaluation.machine", "evaluation.moderation"),
    ("evaluation.specs", "evaluation.statistics"),
    ("evaluation.results",),
    ("evaluation.claims",),
    ("evaluation.suite",),
    ("evaluation.trust",),
    ("evaluation.score",),
    ("evaluation.run", "evaluation.compare"),
    ("evaluation",),
    ("completion",),
    ("adapters", "console", "reports", "scenarios", "testing"),
    ("lookups", "pytest_plugin"),
    ("auditing", "new_suites", "stored"),
    ("cli",),
    ("__main__",),
)
"""The floors of robustfl, the ground first; a room may stand on a floor of its own. What is inside one name may import
freely among itself; apart from that a module imports only from the floors below its own."""


def floor(module: str) -> tuple[int, str]:
    """The floor of a module, and the entry of the table that it falls under: the longest one that fits."""
    if module in ("robustfl", "robustfl.moved"):  # every import of robustfl loads both
        return -1, "robustfl"
    fitting = [
        (len(name), height, name)
        for height, names in enumerate(FLOORS)
        for name in names
        if f"{module}.".startswith(f"robustfl.{name}.")
    ]
    assert fitting, f"{module} stands on no floor. Add it to FLOORS, just above the highest of what it imports."
    return max(fitting)[1:]


def breaches(graph: Graph) -> list[str]:
    """Every import that does not go down."""
    found = []
    for module, targets in graph.items():
        height, name = floor(module)
        for target, line in targets.items():
            below, other = floor(target)
            if other != name and below >= height:
                found.append(f"{module} imports {target} in line {line}, but {other!r} is not below {name!r}")
    return found


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph(modules())


def planted(root: Path, files: dict[str, str]) -> Graph:
    """The imports of a package that is written to `root`: `{"a/b": "import x"}` becomes the file `robustfl/a/b.py`."""
    for name, code in files.items():
        path = root / "robustfl" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(code))
    return import_graph(modules(root))


def test_no_import_goes_up(graph: Graph) -> None:
    assert breaches(graph) == []


def test_imports_that_go_up_or_sideways_are_found() -> None:
    up: Graph = {"robustfl.aggregation.rule": {"robustfl.threats.attack": 3}}
    assert breaches(up) == [
        "robustfl.aggregation.rule imports robustfl.threats.attack in line 3, "
        "but 'threats.attack' is not below 'aggregation'"
    ]
    between_rooms: Graph = {"robustfl.evaluation.suite.plan": {"robustfl.evaluation.score.score": 1}}
    sideways: Graph = {"robustfl.threats.staging": {"robustfl.reputation.ledger": 1}}
    assert len(breaches(between_rooms)) == len(breaches(sideways)) == 1
    down: Graph = {"robustfl.cli": {"robustfl": 1, "robustfl.evaluation.run.runner": 2}}
    within: Graph = {"robustfl.evaluation.run.runner": {"robustfl.evaluation.run.play": 1}}
    assert breaches(down) == breaches(within) == []


def test_a_module_without_a_floor_is_found() -> None:
    with pytest.raises(AssertionError, match=r"robustfl\.attic\.box stands on no floor"):
        floor("robustfl.attic.box")


def test_no_imports_go_in_a_circle(graph: Graph) -> None:
    found = circles(graph)
    assert not found, "\n\n".join(told(graph, circle) for circle in found)


def test_circles_are_found_also_for_type_checkers_and_inside_functions(tmp_path: Path) -> None:
    for_type_checkers = """
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            from robustfl.a.two import Two
        """
    in_a_function = """
        def two():
            import robustfl.three
        """
    graph = planted(
        tmp_path,
        {
            "a/one": for_type_checkers,
            "a/two": in_a_function,
            "three": "from robustfl.a import one",
            "four": "from robustfl.a.one import One",
        },
    )
    assert [told(graph, circle) for circle in circles(graph)] == [
        "These modules import each other in a circle:\n"
        "  robustfl.a.one imports robustfl.a.two in line 4\n"
        "  robustfl.a.two imports robustfl.three in line 3\n"
        "  robustfl.three imports robustfl.a.one in line 1"
    ]


def test_a_name_from_the_door_of_a_package_is_an_import_of_the_door(tmp_path: Path) -> None:
    door = "from .one import One\nfrom . import two"
    graph = planted(tmp_path, {"a/__init__": door, "a/one": "from robustfl.a import Two", "a/two": ""})
    assert graph["robustfl.a"] == {"robustfl.a.one": 1, "robustfl.a.two": 2}
    assert circles(graph) == [["robustfl.a", "robustfl.a.one", "robustfl.a"]]


def test_each_circle_is_found_once(tmp_path: Path) -> None:
    graph = planted(
        tmp_path,
        {
            "a": "import robustfl.b, robustfl.c",
            "b": "import robustfl.a, robustfl.d",
            "c": "import robustfl.a",
            "d": "import robustfl.e",
            "e": "import robustfl.d",
        },
    )
    assert circles(graph) == [["robustfl.a", "robustfl.b", "robustfl.a"], ["robustfl.d", "robustfl.e", "robustfl.d"]]


def ruff(code: str, name: str) -> str:
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", str(ROOT / name), "-"]
    return subprocess.run(command, input=code, capture_output=True, text=True, cwd=ROOT, check=False).stdout


def test_lint_refuses_a_machine_that_names_a_plugin_folder() -> None:
    for folder in PLUGIN_FOLDERS:
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
