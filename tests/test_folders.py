"""What lies where: attacks in the room of their surface, files and folders of a size to read, packages in the wheel."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

import robustfl.threats
from robustfl import registry
from tests.imports import PLUGIN_FOLDERS, ROOT, modules

MOST_LINES = 400
MOST_MODULES = 20
"""Of a folder of the machine, without its `__init__`. The plug-in folders hold one kind each, as many as there are."""


OWN = {name: attack for name, attack in registry.find("attack").items() if attack.__module__.startswith("robustfl.")}
"""The attacks of this project, without those of other distributions that are installed."""

CONTRACTS = [
    cls
    for cls in vars(robustfl.threats).values()
    if inspect.isclass(cls) and isinstance(cls.__dict__.get("surface"), str) and cls.surface
]
"""The classes that name a surface of their own."""


@pytest.mark.parametrize("name", OWN)
def test_an_attack_lies_in_the_room_of_its_surface(name: str) -> None:
    assert OWN[name].__module__ == f"robustfl.attacks.{OWN[name].surface}.{name}"  # type: ignore[attr-defined]


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract.__name__)
def test_the_contract_of_a_surface_lies_in_the_room_of_its_name(contract: type) -> None:
    place = f"robustfl.threats.{contract.surface}"  # type: ignore[attr-defined]
    assert f"{contract.__module__}.".startswith(f"{place}.")


def test_every_surface_has_a_room_for_attacks_and_every_room_a_surface() -> None:
    rooms = {path.parent.name for path in (ROOT / "attacks").glob("*/__init__.py")}
    assert rooms == {contract.surface for contract in CONTRACTS}


def too_long(files: list[Path]) -> list[str]:
    """The files that are longer than anybody reads in one go."""
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    return [f"{path} has {count} lines, more than {MOST_LINES}" for path, count in lines.items() if count > MOST_LINES]


def too_full(files: list[Path]) -> list[str]:
    """The folders in which a newcomer no longer finds a module."""
    held = Counter(path.parent for path in files if path.name != "__init__.py")
    return [f"{path} holds {n} modules, more than {MOST_MODULES}" for path, n in held.items() if n > MOST_MODULES]


def test_no_module_is_too_long() -> None:
    assert too_long(list(modules().values())) == []


def test_no_folder_of_the_machine_is_too_full() -> None:
    machine = ROOT / "robustfl"
    assert too_full([path for path in modules().values() if path.is_relative_to(machine)]) == []


def test_long_modules_and_full_folders_are_found(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.py" for number in range(MOST_MODULES + 1)]
    for path in files:
        path.write_text("x = 1\n" * MOST_LINES)
    assert too_long(files) == too_full(files[1:]) == []
    files[0].write_text("x = 1\n" * (MOST_LINES + 1))
    assert too_long(files) == [f"{files[0]} has {MOST_LINES + 1} lines, more than {MOST_LINES}"]
    assert too_full(files) == [f"{tmp_path} holds {MOST_MODULES + 1} modules, more than {MOST_MODULES}"]


def test_every_package_is_in_the_list_for_the_wheel() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    packages = sorted(name for name, path in modules().items() if path.name == "__init__.py")
    missing, extra = set(packages) - set(listed["packages"]), set(listed["packages"]) - set(packages)
    assert not missing, f"`packages` in pyproject.toml should also name: {', '.join(sorted(missing))}"
    assert not extra, (
        f"`packages` in pyproject.toml names folders that hold no `__init__.py`: {', '.join(sorted(extra))}"
    )
    assert listed["packages"] == packages, "`packages` in pyproject.toml should be sorted."
    assert listed["package-dir"] == {"robustfl": "robustfl"} | {f"robustfl.{name}": name for name in PLUGIN_FOLDERS}


def test_every_folder_that_holds_modules_is_a_package() -> None:
    found = modules()
    folders = {path.parent for path in found.values()}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_tests_lie_in_folders_that_mirror_the_code() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    tops = (
        ROOT / "robustfl",
        ROOT,
    )  # a folder may also mirror a module, one whose tests have an environment of their own
    mirrored = [f for top in tops for f in folders if (top / f).is_dir() or (top / f).with_suffix(".py").is_file()]
    assert folders - set(mirrored) == {Path("benchmarks")}  # they measure speed across all rooms


def mapped(text: str) -> set[str]:
    """The folders that a map names, one in a line, each indented below the folder that holds it."""
    found = set()
    above: list[tuple[int, str]] = []
    for indent, name in re.findall(r"^( +)([a-z]+)/ ", text, flags=re.MULTILINE):
        above = [*(outer for outer in above if outer[0] < len(indent)), (len(indent), name)]
        found.add("/".join(part for _, part in above))
    return found


def test_the_map_for_contributors_names_every_room() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rooms = {str(path.parent.relative_to(ROOT)) for path in modules().values() if path.name == "__init__.py"}
    assert sorted(rooms - mapped(text)) == [], "These folders should have a line in the map of CONTRIBUTING.md."


def test_a_map_is_read_by_its_indentation() -> None:
    text = """
        house/    where one lives
          attic/    above, under the roof/
            box/      in it
          cellar/   below
        shed/     apart
        """
    assert mapped(text) == {"house", "house/attic", "house/attic/box", "house/cellar", "shed"}


def test_the_tour_of_scenarios_names_them_all() -> None:
    tour = (ROOT / "scenarios" / "__init__.py").read_text(encoding="utf-8")
    named = set(re.findall(r"``(\w+)``", tour))
    assert {path.stem for path in (ROOT / "scenarios").glob("*.yaml")} <= named
