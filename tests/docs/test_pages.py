"""What the hand-written pages show is true: Python runs, suites are valid, commands and links exist."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path
from pkgutil import resolve_name

import pytest
from ruamel.yaml import YAML

from robustfl import registry
from robustfl.errors import MissingExtraError
from robustfl.evaluation.suite.reading import read_experiment
from robustfl.evaluation.trust import explain
from tests.conftest import ROOT
from tests.docs.markdown import LANGUAGES, PAGES, Page, parsed

EACH = pytest.mark.parametrize("page", [Page(path) for path in PAGES], ids=lambda page: page.name)

WIDEST = 88
"""How many characters of code stand beside each other in the site, in a window of 1280 pixels."""

FEDERATION = """name: asked
description: what a threat model asks for
task: {data: digits, model: softmax, partition: iid}
federation: {clients: 10, rounds: 2}
adversary: {f: [1]}
defenses: [mean]"""

FLOWS = "sensor,timestamp,length,port,attack\n" + "".join(
    f"s{number % 8},{number},{number * 7 % 50},{number % 3},{'yes' if number % 2 else 'no'}\n" for number in range(64)
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, whose modules can be imported and are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[name]


def beside(page: Page, folder: Path) -> None:
    """Write the files that a page shows."""
    (folder / "flows.csv").write_text(FLOWS)
    for name, text in page.files.items():
        (folder / name).write_text(text)
    importlib.invalidate_caches()


@EACH
def test_every_block_is_of_a_language_that_is_checked(page: Page) -> None:
    assert page.languages <= LANGUAGES


@EACH
def test_lines_of_code_fit_into_a_page(page: Page) -> None:
    long = [line for language in LANGUAGES for block in page.blocks(language) for line in block.splitlines()]
    assert [line for line in long if len(line) > WIDEST] == []


@EACH
def test_python_runs(page: Page, folder: Path) -> None:
    beside(page, folder)
    for name in page.files:
        importlib.import_module(name.removesuffix(".py"))
    namespace: dict[str, object] = {}
    for number, block in enumerate(page.examples):
        if page.name == "README.md":
            namespace = {}  # each of its blocks runs by itself
        exec(compile(block, f"{page.name}, example {number + 1}", "exec"), namespace)


@EACH
def test_what_is_imported_exists_also_where_a_framework_is_absent(page: Page) -> None:
    shown = [*page.blocks("python"), *page.blocks("text")]
    for module, names in (
        found for block in shown for found in re.findall(r"^from (robustfl\S*) import (.*)$", block, re.M)
    ):
        try:
            loaded = importlib.import_module(module)
        except (MissingExtraError, ImportError):
            path = ROOT / f"{module.replace('.', '/')}.py"
            defined = {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
        else:
            defined = set(dir(loaded))
        assert set(re.findall(r"\w+", names)) <= defined


@EACH
def test_suites_are_valid(page: Page, folder: Path) -> None:
    beside(page, folder)
    for block in page.blocks("yaml"):
        if "jobs" in YAML(typ="safe").load(block):
            continue
        path = folder / "suite.yaml"
        path.write_text(block)
        assert read_experiment(str(path)).suite.defenses


def test_the_keys_by_which_threat_models_are_asked_for_are_those_of_suites(tmp_path: Path) -> None:
    text = Page(ROOT / "docs" / "threat_models.md").text
    asked = re.findall(r"\| `((?:attacks|evasion|faults): \[.*\])` \|", text)
    assert len(asked) >= 3
    for number, line in enumerate(asked):
        keys = [line, *(["attacks: [alie]"] if not line.startswith("attacks") else [])]
        path = tmp_path / f"suite_{number}.yaml"
        path.write_text(f"{FEDERATION}\n" + "\n".join(keys))
        assert read_experiment(str(path)).suite.defenses


@EACH
def test_commands_exist_with_their_options_and_names(page: Page, folder: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    suites = set(re.findall(r"^name: (\w+)$", page.text, flags=re.MULTILINE))
    for program, *arguments in page.commands:
        if program == "make":
            assert set(arguments) <= targets
        elif program == "pip":
            asked = re.findall(r"\[([\w,]+)\]", " ".join(arguments))
            assert {extra for text in asked for extra in text.split(",")} <= set(project["optional-dependencies"])
        elif program == "robustfl":
            context = parsed(list(arguments))
            scenario = (context.params if context else {}).get("scenario", "smoke")
            assert scenario in registry.scenario_files() or scenario.endswith(".yaml") or scenario in suites
            if arguments[0] == "explain" and len(arguments) > 1:
                assert explain.page(arguments[1])
        else:
            assert program in {"git", "pytest", "cat", "cd"}


@EACH
def test_entry_points_are_of_groups_that_are_read(page: Page) -> None:
    groups = {f"robustfl.{registry.plural(kind)}" for kind in registry.kinds()}
    for block in page.blocks("toml"):
        assert set(tomllib.loads(block)["project"]["entry-points"]) <= groups


@EACH
def test_modules_that_are_named_exist(page: Page) -> None:
    groups = {f"robustfl.{registry.plural(kind)}" for kind in registry.kinds()} | {"robustfl.executors"}
    for name in set(re.findall(r"`(robustfl(?:\.[A-Za-z_]+)+)(?:\(.*?\))?`", page.text)) - groups:
        if name.startswith("robustfl.adapters."):  # its framework may be absent
            _, _, module, what = [*name.split("."), ""][:4]
            source = (ROOT / "robustfl" / "adapters" / f"{module}.py").read_text(encoding="utf-8")
            assert re.search(rf"^(class|def) {what}", source, flags=re.MULTILINE)
        else:
            assert resolve_name(name) is not None


@EACH
def test_links_lead_to_files(page: Page) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.text):
        if "://" in target:
            continue
        kind, _, name = target.removeprefix("../").partition("generated/")[2].rpartition("/")
        if "generated/" not in target:
            assert (page.path.parent / target).exists(), target
        elif name != "index.md":
            assert name.removesuffix(".rst") in registry.find(kind.removesuffix("s"))


def test_the_pages_are_all_in_the_table_of_contents() -> None:
    index = Page(ROOT / "docs" / "index.md").text
    listed = set(re.findall(r"^([\w/]+)$", index, flags=re.MULTILINE))
    found = {path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in PAGES[1:]} - {"index"}
    assert found <= listed
    assert {name for name in listed if not name.startswith("generated/")} == found


def test_wrong_commands_are_found() -> None:
    with pytest.raises(AssertionError, match="no command 'runn'"):
        parsed(["runn", "smoke"])
    with pytest.raises(Exception, match="No such option"):
        parsed(["run", "smoke", "--wokers", "2"])
    with pytest.raises(AssertionError, match="no options"):
        parsed(["--verison"])
