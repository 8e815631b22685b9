"""Classes of one's own in a file beside a suite, `rules.py:MyRule`: no package is needed.

The module of such a file has a name that says where the file is. Whatever process unpickles an object of it, a worker
or that of an isolated defense, therefore finds the file by the name alone; nothing has to be sent along.

>>> from pathlib import Path
>>> Reference.read("rules.py:MyRule").located(Path("suites")).text
'suites//rules.py:MyRule'
>>> named(module_name(Path("suites"), "rules.py"), "MyRule")
'rules.py:MyRule'
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType
from typing import Any

from robustfl.errors import ParameterError, did_you_mean

_PREFIX = "own_file__"
_REFERENCE = re.compile(r"(?:(?P<folder>.+)//)?(?P<file>[^:\n]+\.py):(?P<name>[A-Za-z_]\w*)")


@dataclass(frozen=True)
class Reference:
    """A class in a file: the folder of the suite that names it, the file relative to that folder, and the class.

    Without a folder, the file is relative to the folder of the process.
    """

    folder: str | None
    file: str
    name: str

    @classmethod
    def read(cls, text: str) -> Reference:
        """From `file.py:Class` or `folder//file.py:Class`; raises ParameterError for other texts."""
        found = _REFERENCE.fullmatch(text)
        if found is None:
            raise ParameterError(f"A class of a file is `file.py:Class`. Found {text!r}.")
        return cls(found["folder"], found["file"], found["name"])

    def located(self, folder: Path) -> Reference:
        """The reference with this folder, unless it has one."""
        return self if self.folder is not None else replace(self, folder=str(folder))

    @property
    def text(self) -> str:
        """The reference as it was, or could have been, written."""
        return f"{'' if self.folder is None else self.folder + '//'}{self.file}:{self.name}"

    def load(self) -> Any:
        """What the file defines under the name.

        Raises ParameterError when the file is not inside the folder or does not exist, when it cannot be run, or when
        it does not define the name.
        """
        home = Path(self.folder or ".").resolve()
        path = home / self.file
        if not path.resolve().is_relative_to(home):
            raise ParameterError(f"A file of one's own should lie in the folder {home}, or below. Found {self.file!r}.")
        if not path.is_file():
            raise ParameterError(f"There is no file {path}, in which {self.name} should be.")
        module = module_name(home, Path(self.file).as_posix())
        try:
            __import__(module)
        except (Exception, SystemExit) as error:  # whatever the file does while it is run
            line = _line(error, path)
            raise ParameterError(
                f"{path} cannot be run{line}: {type(error).__name__}: {error}. Such a file imports installed packages; "
                f"what else it needs should be in it."
            ) from error
        inside = vars(sys.modules[module])
        found = inside.get(self.name)
        if found is None:
            own = [name for name, value in inside.items() if getattr(value, "__module__", None) == module]
            raise ParameterError(f"{path} defines no `{self.name}`. {did_you_mean(self.name, own)}".rstrip())
        return found


def is_reference(text: Any) -> bool:
    """Whether a text names a class of a file."""
    return isinstance(text, str) and _REFERENCE.fullmatch(text) is not None


def located(value: Any, folder: Path) -> Any:
    """The values of a YAML file in which the names of classes of files, also as keys, have the folder of that file."""
    if isinstance(value, dict):
        return {located(key, folder): located(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [located(item, folder) for item in value]
    return Reference.read(value).located(folder).text if is_reference(value) else value


def without_folder(name: str) -> str:
    """A name as suites write it, the same on every machine: `rules.py:MyRule` for `/home/me//rules.py:MyRule`."""
    return replace(Reference.read(name), folder=None).text if is_reference(name) else name


def module_name(folder: Path, file: str) -> str:
    """The name of the module of a file."""
    return f"{_PREFIX}{_coded(str(folder))}__{_coded(file)}"


def named(module: str, name: str) -> str | None:
    """`file.py:Class` for a class of such a module, without the folder; None for a class of another module."""
    place = _place(module)
    return None if place is None else f"{place[1]}:{name}"


def files_in(content: bytes) -> tuple[str, ...]:
    """The files whose modules are named in pickled objects."""
    names = re.findall(rb"own_file__\w+", content)
    places = [place for name in dict.fromkeys(names) if (place := _place(name.decode())) is not None]
    return tuple(str(Path(folder) / file) for folder, file in places)


def _coded(text: str) -> str:
    """A text of letters, digits and `_`, in which no `__` occurs."""
    return "".join(
        char if char.isascii() and char.isalnum() else "".join(f"_{byte:02x}" for byte in char.encode())
        for char in text
    )


def _place(module: str) -> tuple[str, str] | None:
    """The folder and the file behind the name of a module; None if no file is behind it."""
    if not module.startswith(_PREFIX):
        return None
    folder, _, file = module.removeprefix(_PREFIX).partition("__")
    return _decoded(folder), _decoded(file)


def _decoded(text: str) -> str:
    return re.sub(r"(?:_[0-9a-f]{2})+", lambda found: bytes.fromhex(found[0].replace("_", "")).decode(), text)


def _line(error: BaseException, path: Path) -> str:
    """Where in the file an error arose, in words."""
    lines = [error.lineno] if isinstance(error, SyntaxError) and error.filename == str(path) else []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f", line {lines[-1]}" if lines else ""


class _Loader(SourceFileLoader):
    """Reads the file each time: compiled code that is kept beside it may be older than an edit of the same second."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(MetaPathFinder):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        place = _place(fullname)
        if place is None:
            return None
        file = str(Path(*place))
        return spec_from_file_location(fullname, file, loader=_Loader(fullname, file))


sys.meta_path.append(_Finder())
