"""What goes between a simulation and the process of a defense, and how answers are read without running code."""

from __future__ import annotations

import dataclasses
import importlib
import io
import pickle
import struct
from typing import IO, Any

from robustfl.aggregation.kernels.base import is_tensor
from robustfl.errors import IsolationError

_LENGTH = struct.Struct("<Q")

_PLAIN = {
    "builtins": {"set", "frozenset", "complex", "slice", "range", "bytearray"},
    "collections": {"OrderedDict", "deque", "Counter"},
    "copyreg": {"__newobj__"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
}
"""The names, by module, that an answer may refer to: they make values and do nothing else."""

_OF_DATA = ("robustfl.aggregation.", "robustfl.reputation.", "robustfl.isolation.")
"""The packages whose dataclasses may be in an answer, such as a decision about a client."""


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """A tensor of an accelerator, with its values on the host and the name of its device."""

    values: Any
    device: str


def packed(value: Any) -> Any:
    """The value with arrays in place of tensors, at any depth of lists, tuples and mappings."""
    if is_tensor(value):
        values = value.detach().cpu().numpy()
        return values if value.device.type == "cpu" else Elsewhere(values, str(value.device))
    if isinstance(value, dict):
        return {key: packed(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(packed, value))
    return value


def unpacked(value: Any, *, tensors: bool) -> Any:
    """The value as :func:`packed` got it; with `tensors`, arrays become tensors that share their memory."""
    import numpy as np

    if isinstance(value, Elsewhere):
        import torch

        return torch.as_tensor(value.values, device=value.device)
    if tensors and isinstance(value, np.ndarray):
        import torch

        return torch.from_numpy(value if value.flags.writeable else value.copy())
    if isinstance(value, dict):
        return {key: unpacked(item, tensors=tensors) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(unpacked(item, tensors=tensors) for item in value)
    return value


def write(sink: IO[bytes], message: Any) -> None:
    """Send a message.

    Raises BrokenPipeError when nobody reads it any more.
    """
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    sink.write(_LENGTH.pack(len(content)))
    sink.write(content)
    sink.flush()


def read(source: IO[bytes], *, as_data: bool) -> Any:
    """The next message; with `as_data`, one that refers to code is refused.

    Raises
    ------
    EOFError : the other process has ended
    IsolationError : the message holds something that is not data
    """
    head = source.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        raise EOFError
    (length,) = _LENGTH.unpack(head)
    content = source.read(length)
    if len(content) < length:
        raise EOFError
    if not as_data:
        return pickle.loads(content)
    try:
        return _Data(io.BytesIO(content)).load()
    except IsolationError:
        raise
    except Exception as error:
        raise IsolationError(f"The process of a defense sent what cannot be read: {error}.") from None


class _Data(pickle.Unpickler):
    """Reads values, and refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        if f"{module}.".startswith(_OF_DATA) and "." not in name:
            kind = getattr(importlib.import_module(module), name, None)
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module:
                return kind
        raise IsolationError(
            f"The answer of a defense in a process of its own should hold numbers, texts, arrays and containers of "
            f"these. Found {module}.{name}."
        )
