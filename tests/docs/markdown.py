"""The hand-written pages (the README and docs/), their blocks of code, and how blocks are run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer

from robustfl.cli import app
from tests.conftest import ROOT

PAGES = [
    ROOT / "README.md",
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "generated" not in path.parts),
]
LANGUAGES = {"python", "yaml", "console", "toml", "text"}


@dataclass(frozen=True)
class Page:
    """A page in Markdown."""

    path: Path

    @property
    def name(self) -> str:
        """Its path in the repository."""
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language, in order."""
        return re.findall(rf"^ *```{language}\n(.*?)^ *```", self.text, flags=re.DOTALL | re.MULTILINE)

    @property
    def languages(self) -> set[str]:
        """The languages of its blocks; directives of the documentation, in braces, are none."""
        opened = re.findall(r"^ *```(\S+)\n.*?^ *```$", self.text, flags=re.DOTALL | re.MULTILINE)
        return {language for language in opened if not language.startswith("{")}

    @property
    def files(self) -> dict[str, str]:
        """The blocks that are files, by name; their first line is `# name.py`."""
        heads = [(re.match(r"# (\w+\.py)\n", block), block) for block in self.blocks("python")]
        return {head[1]: block for head, block in heads if head}

    @property
    def examples(self) -> list[str]:
        """The blocks of Python that are no files, and need no framework that is absent here."""
        return [block for block in self.blocks("python") if block not in self.files.values() and not self.absent(block)]

    @staticmethod
    def absent(block: str) -> str:
        """The framework that a block needs (`# needs flwr`), if it is not installed."""
        needed = re.match(r"# needs (\w+)\n", block)
        return needed[1] if needed and find_spec(needed[1]) is None else ""

    @property
    def commands(self) -> Iterator[list[str]]:
        """The words of each command that the page shows to be typed, also in recipes for continuous integration."""
        shown = "\n".join(self.blocks("console"))
        for line in filter(None, shown.splitlines()):
            assert line.startswith("$ "), f"{self.name}: {line!r} is no command"
            for command in line.removeprefix("$ ").split(" && "):
                yield shlex.split(command, comments=True)
        for recipe in self.blocks("yaml"):
            for command in re.findall(r"^ +- run: (.*)$", recipe, flags=re.MULTILINE):
                yield shlex.split(command)


def parsed(arguments: list[str]) -> Any:
    """The context of a command of robustfl, whose arguments and options are read; nothing is run.

    Raises what the command line raises for an unknown command, option or value.
    """
    command: Any = typer.main.get_command(app)
    context = None
    while hasattr(command, "commands") and arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
        assert name in command.commands, f"there is no command {name!r}"
        context, command = command, command.commands[name]
    if context is None:  # options of `robustfl` itself act at once, so they are only looked up
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(arguments) <= known, f"{arguments} are no options of robustfl"
        return None
    return command.make_context(command.name, arguments)
