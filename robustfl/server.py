"""One object behind every server: the model that was sent, the replies to it, and the next model.

A rule aggregates updates. A server has a model, and clients that answer late, twice, wrongly or not at all. Between the
two stands always the same work, which :class:`RobustServer` does once, for any framework:

>>> import numpy as np
>>> sent = {"weight": np.zeros(2, np.float32), "steps": np.array(7)}
>>> server = RobustServer("nnm >> trimmed_mean", f=1)
>>> replies = {name: {"weight": np.array([1.0, x]), "steps": np.array(8)} for x, name in enumerate("abcd")}
>>> replies["e"] = {"weight": np.array([np.nan, 0.0]), "steps": np.array(2**62)}
>>> step = server.step(sent, replies)
>>> step.refused
{'e': 'weight: not finite'}
>>> step.model["weight"].tolist(), int(step.model["steps"])
([1.0, 1.5], 8)

With too few usable replies the model stays, and the step says why:

>>> step = server.step(sent, {"a": replies["a"], "e": replies["e"]})
>>> step.model["weight"].tolist(), step.held.partition(". 1 of 2")[0]
([0.0, 0.0], 'NNM needs n >= 2f + 1 rows. Found n=1, f=1')
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from robustfl import registry
from robustfl.aggregation import Aggregation, Aggregator
from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.updates.order import by_id
from robustfl.errors import InfeasibleError, ParameterError, RobustflError, StateError, UpdatesError

RepliesAre = Literal["models", "deltas"]
Buffers = Literal["median", "keep", "rule"]

BUFFER_NAMES = ("running_mean", "running_var")
"""How the running statistics of normalisation layers are called in state dicts of torch."""

_UNREADABLE: Any = ()
"""What the rule gets in the place of a reply that was refused before it: an entry that holds no array."""

_ALONE = "the array"
"""What refusals call a model that is one array without a name."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What came of a round.

    Attributes
    ----------
    model : the next model, in the form and types of the one that was sent; a copy of that one where `held` is not empty
    answer : the answer of the rule about the differences to what was sent, or None where the model was kept
    refused : the clients whose replies were left out, with the reason, in the order of their ids
    held : why the model was kept, or an empty text
    """

    model: Any
    answer: Aggregation | None
    refused: Mapping[Hashable, str]
    held: str = ""


class RobustServer:
    """Turns the model that was sent, and the replies to it, into the next model by a robust rule.

    Formula: ``next = sent + A(reply_1 - sent, ..., reply_n - sent)``; with ``replies_are="deltas"`` clients send the
    differences themselves. Rules that clip, or that compare directions, mean nothing on whole models, so the rule gets
    differences always.

    What was sent is the template. A reply with other names, other shapes, or integers in the place of floats is
    refused, and so are one that is not finite and one that cannot be decoded. However many clients agree on another
    shape, it is never theirs that counts. Floats of another width are converted. Replies reach the rule in the order of
    their ids, so that who answers first changes no bit. Absent clients are left out of the mapping.

    Buffers, such as the running statistics of normalisation layers, are no gradients: a rule that answers with signs
    would move a variance below 0. They have a rule of their own, and so do integers (counters), which no rule for
    updates sees: with ``"median"`` the coordinate-wise median of the accepted replies (the lower one for counters),
    with ``"keep"`` the values that were sent. With ``"rule"`` the rule decides about buffers as about parameters, and
    counters follow the median.

    Shapes: a model is a mapping from names to arrays, a sequence of arrays, or one array; numpy and torch may be mixed,
    and the next model is of the kind that was sent. Units: those of the model.
    Cost: one aggregation, which subtracts what was sent while it reads; of the parameters in the replies nothing is
    copied, of buffers and counters the differences are.
    Guarantee: that of the rule, for the parameters; that of the median, for buffers and counters. The next model is
    finite, or the model is kept.

    Parameters
    ----------
    rule : a rule for updates, or its text, such as ``"nnm >> trimmed_mean"`` or ``"NNM(f=2) >> Krum(f=2)"``
    f : the number of Byzantine clients that a rule given as a text is told, where the text does not say it
    replies_are : what clients send: whole ``"models"``, or ``"deltas"``, their differences to the model that was sent
    buffers : what decides about buffers, see above
    buffer_names : which values are buffers: those with such a name, or with such a last part of it behind a dot
    least : the number of usable replies below which the model is kept, whatever the rule itself needs
    hostile : ``"reject"``, or ``"stop"`` to keep the model when more clients were caught than the rule's f

    Raises
    ------
    ParameterError : the rule is none for updates, or an option has another value than these
    UnknownNameError : the text names no rule

    Examples
    --------
    A state dict of torch, and a client that multiplies its model:

    >>> import torch
    >>> sent = {"layer.weight": torch.zeros(2), "norm.running_var": torch.ones(2)}
    >>> def reply(scale):
    ...     return {"layer.weight": torch.full((2,), scale), "norm.running_var": torch.full((2,), 1 + scale)}
    >>> server = RobustServer("median")
    >>> step = server.step(sent, {17: reply(0.5), 3: lambda: reply(0.25), 99: reply(1e9)})
    >>> step.model
    {'layer.weight': tensor([0.5000, 0.5000]), 'norm.running_var': tensor([1.5000, 1.5000])}

    A reply may be a function, which is called to decode it. What it raises refuses this reply, and not the round:

    >>> def damaged():
    ...     raise ValueError("the archive is truncated")
    >>> server.step(sent, {1: reply(0.5), 2: damaged}).refused
    {2: 'ValueError: the archive is truncated'}
    """

    def __init__(
        self,
        rule: Aggregator | str,
        *,
        f: int | None = None,
        replies_are: RepliesAre = "models",
        buffers: Buffers = "median",
        buffer_names: Collection[str] = BUFFER_NAMES,
        least: int = 1,
        hostile: Literal["reject", "stop"] = "reject",
    ) -> None:
        for name, value, known in (
            ("replies_are", replies_are, get_args(RepliesAre)),
            ("buffers", buffers, get_args(Buffers)),
            ("hostile", hostile, ("reject", "stop")),
        ):
            if value not in known:
                choices = " or ".join(repr(choice) for choice in known)
                raise ParameterError(f"`{name}` should be {choices}. Found {name}={value!r}.")
        if isinstance(least, bool) or not isinstance(least, int) or least < 1:
            raise ParameterError(f"`least` should satisfy least >= 1. Found least={least!r}.")
        if isinstance(buffer_names, str):
            raise ParameterError(f"`buffer_names` should be several names. Found the text {buffer_names!r}.")
        self.rule = _rule(rule, f)
        self.replies_are, self.buffers, self.least = replies_are, buffers, least
        self.buffer_names = frozenset(buffer_names)
        self.hostile: Literal["reject", "stop"] = hostile

    def step(self, sent: Any, replies: Mapping[Hashable, Any], *, trusted: Any = None) -> Step:
        """The next model after the replies to the model `sent`.

        `replies` has a reply, or a function that returns one, under the id of each client that answered. `trusted` is a
        reply of the server's own, for rules that want one. Nothing that was passed in is changed.

        Raises
        ------
        UpdatesError : `sent` is no finite model with floating-point values, `replies` is no mapping, or `trusted` is no
            usable reply or is missing although the rule wants it
        StateError : the rule remembers a model of another size
        """
        template = _Template(sent, self.replies_are == "models")
        if not isinstance(replies, Mapping):
            raise UpdatesError(f"`replies` should map ids of clients to replies. Found {type(replies).__name__}.")
        names = list(replies)
        clients = [names[place] for place in by_id(names)]
        parameters = [name for name in template.floating if not self._apart(name)]
        if not parameters:
            raise UpdatesError("All values of the model that was sent are buffers or counters: nothing to aggregate.")
        usable: dict[Hashable, dict[Hashable, Array]] = {}
        refused: dict[Hashable, str] = {}
        for client in clients:
            try:
                usable[client] = template.read(replies[client], parameters)
            except UpdatesError as error:
                refused[client] = str(error)
        if len(usable) < self.least:
            held = f"{len(usable)} of {len(names)} replies can be used, fewer than {self.least}."
            return self._held(template, refused, held)
        own = None if trusted is None else _only(template.own(trusted, parameters), parameters)
        # The rule hears of clients that were refused here too: `exceeded` counts them among those that it catches.
        rows = {c: _only(usable[c], parameters) if c in usable else _UNREADABLE for c in clients}
        try:
            # What is a buffer has been decided here, so the rule sets nothing apart by itself.
            base = template.base(parameters)
            answer = self.rule.aggregate(rows, trusted=own, hostile=self.hostile, beside=(), relative_to=base)
        except InfeasibleError as error:
            return self._held(template, refused, str(error))
        except (StateError, UpdatesError, ParameterError):  # what the caller has to mend
            raise
        except RobustflError as error:  # no finite answer
            return self._held(template, refused, str(error))
        refused = {clients[row]: refused.get(clients[row], why) for row, why in answer.info["reasons"].items()}
        accepted = [usable[client] for client in clients if client not in refused]
        model, problem = template.moved({**answer.value, **self._others(template, accepted)})
        return self._held(template, refused, problem) if problem else Step(model=model, answer=answer, refused=refused)

    def _apart(self, name: Hashable) -> bool:
        """Whether a floating-point value is kept from the rule."""
        return self.buffers != "rule" and str(name).rpartition(".")[2] in self.buffer_names

    def _others(self, template: _Template, accepted: Sequence[Mapping[Hashable, Array]]) -> dict[Hashable, Array]:
        """The changes of buffers and counters."""
        if self.buffers == "keep":
            return {}
        return {
            name: _median([change[name] for change in accepted], lower=name not in template.floating)
            for name in template.values
            if name not in template.floating or self._apart(name)
        }

    @staticmethod
    def _held(template: _Template, refused: Mapping[Hashable, str], why: str) -> Step:
        return Step(model=template.moved({})[0], answer=None, refused=refused, held=why)


def _rule(rule: Any, f: int | None) -> Aggregator:
    if isinstance(rule, str):
        rule = registry.build("defense", rule, **({} if f is None else {"f": f}))
    elif f is not None:
        raise ParameterError(f"`f` is for a rule that is given as a text. Found f={f!r} and {rule!r}.")
    if not isinstance(rule, Aggregator) or rule.channel != "dense" or rule.protection is not None:
        raise ParameterError(
            f"A server needs a rule from updates to one update, such as 'nnm >> trimmed_mean'. Found {rule!r}."
        )
    if rule.client_side:
        raise ParameterError(f"{rule.client_side[0]!r} is carried out by clients, before they send. Found {rule!r}.")
    return rule


def _only(change: Mapping[Hashable, Array], names: Sequence[Hashable]) -> dict[Hashable, Array]:
    return {name: change[name] for name in names}


class _Template:
    """The model that was sent: what replies have to look like, and where changes are added."""

    def __init__(self, sent: Any, models: bool) -> None:
        self.models = models
        self.form, self.values = _named(sent)
        self.floating = [name for name, value in self.values.items() if _kind(value) == "floats"]
        for name, value in self.values.items():
            if _kind(value) not in ("floats", "integers"):
                raise UpdatesError(f"The model that was sent should hold real numbers. {name}: {_described(value)}.")
            if not _finite(value):
                raise UpdatesError(f"The model that was sent should be finite. {name} is not.")
        if not any(math.prod(self.values[name].shape) for name in self.floating):
            raise UpdatesError("The model that was sent holds no floating-point values.")

    def base(self, parameters: Sequence[Hashable]) -> dict[Hashable, Array] | None:
        """What is subtracted from parameters, in the type of the arithmetic; None where clients send differences."""
        return {name: _as(self.values[name], self.values[name]) for name in parameters} if self.models else None

    def read(self, reply: Any, parameters: Collection[Hashable]) -> dict[Hashable, Array]:
        """The parameters of a reply as they came, and what it changes of the other values.

        UpdatesError says why the reply cannot be used.
        """
        try:
            form, values = _named(reply() if callable(reply) else reply)
            if form != self.form or set(values) != set(self.values):
                raise UpdatesError(self._other_names(form, values))
            changes = ((name, self._difference(name, values[name])) for name in self.values)
            return {name: values[name] if name in parameters else change for name, change in changes}
        except UpdatesError:
            raise
        except Exception as error:  # a client chose the bytes that were decoded here: any of them refuses it alone
            raise UpdatesError(f"{type(error).__name__}: {error}") from error

    def own(self, trusted: Any, parameters: Collection[Hashable]) -> dict[Hashable, Array]:
        """The server's own reply, read as one of a client."""
        try:
            return self.read(trusted, parameters)
        except UpdatesError as error:
            raise UpdatesError(f"`trusted` cannot be used: {error}") from None

    def moved(self, moves: Mapping[Hashable, Array]) -> tuple[Any, str]:
        """The model after changes, as a copy in its own form and types, and why it must not be used, or nothing."""
        moved = {}
        for name, value in self.values.items():
            move = moves.get(name)
            moved[name] = _copy(value) if move is None else _added(value, move)
            if not _finite(moved[name]):
                return None, f"{name}: the next model would not be finite."
        if self.form == "mapping":
            return moved, ""
        return (list(moved.values()) if self.form == "sequence" else moved[_ALONE]), ""

    def _difference(self, name: Hashable, value: Any) -> Array:
        """The change of one value, in the type of the arithmetic."""
        like = self.values[name]
        if _kind(value) != _kind(like):
            raise UpdatesError(f"{name}: {_described(value)} in place of {_described(like)}")
        if tuple(value.shape) != tuple(like.shape):
            raise UpdatesError(f"{name}: shape {list(value.shape)} in place of {list(like.shape)}")
        with np.errstate(over="ignore", invalid="ignore"):
            got = _as(value, like)
            change = got - _as(like, like) if self.models else got
        if not _finite(change):
            raise UpdatesError(f"{name}: not finite")
        return change

    def _other_names(self, form: str, values: Mapping[Hashable, Any]) -> str:
        if form != self.form:
            return f"{_FORMS[form]} in place of {_FORMS[self.form]}"
        lacks = [str(name) for name in self.values if name not in values]
        more = [str(name) for name in values if name not in self.values]
        told = [f"it lacks {_few(lacks)}"] if lacks else []
        return "names differ: " + " and ".join([*told, *([f"it has {_few(more)}"] if more else [])])


_FORMS = {"array": "one array", "mapping": "a mapping from names to arrays", "sequence": "a sequence of arrays"}


def _few(names: Sequence[str]) -> str:
    """The first names of many; a client may have sent any number of any length."""
    shown = ", ".join(name[:60] for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _named(model: Any) -> tuple[str, dict[Hashable, Any]]:
    """The form of a model, and its values by name or place."""
    if isinstance(model, Mapping):
        return "mapping", dict(model)
    if is_tensor(model) or isinstance(model, np.ndarray):
        return "array", {_ALONE: model}
    if isinstance(model, Sequence) and not isinstance(model, str | bytes):
        return "sequence", dict(enumerate(model))
    raise UpdatesError(f"A model is a mapping, a sequence of arrays or an array. Found {type(model).__name__}.")


def _kind(value: Any) -> str:
    """Whether a value is made of floats or of integers (truth values are counters of 0 and 1); else its type."""
    if is_tensor(value):
        if str(value.layout) != "torch.strided":
            return str(value.layout)
        return "floats" if value.is_floating_point() else "complex" if value.is_complex() else "integers"
    if isinstance(value, np.ndarray | np.generic):
        return {"f": "floats", "i": "integers", "u": "integers", "b": "integers"}.get(value.dtype.kind, "others")
    return type(value).__name__


def _described(value: Any) -> str:
    return str(value.dtype) if hasattr(value, "dtype") else type(value).__name__


def _as(value: Array, like: Array) -> Array:
    """A value where the arithmetic about `like` takes place: on its device, in 32 or 64 bits, integers in 64."""
    if is_tensor(like):
        import torch

        wide = like.dtype == torch.float64
        working = (torch.float64 if wide else torch.float32) if like.is_floating_point() else torch.int64
        tensor = value if is_tensor(value) else torch.from_numpy(np.array(value))
        return tensor.detach().to(device=like.device, dtype=working)
    if is_tensor(value):
        tensor = value.detach().cpu()
        value = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    if like.dtype.kind != "f":
        return np.asarray(value).astype(np.int64)
    return np.asarray(value).astype(np.float64 if like.dtype.itemsize > 4 else np.float32)


def _finite(value: Array) -> bool:
    """Whether all numbers of an array are finite."""
    return bool(value.isfinite().all()) if is_tensor(value) else bool(np.isfinite(value).all())


def _copy(value: Array) -> Array:
    return value.detach().clone() if is_tensor(value) else np.array(value)


def _added(value: Array, move: Array) -> Array:
    """A value plus its change, in its own type; what half precision cannot hold stays infinite, and is seen."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = _as(value, value) + move
        return total.to(value.dtype) if is_tensor(value) else np.asarray(total).astype(value.dtype)


def _median(values: Sequence[Array], *, lower: bool) -> Array:
    """The coordinate-wise median, of an even number the mean of the middle two, or the lower one of them."""
    middle = (len(values) - 1) // 2, len(values) // 2
    if is_tensor(values[0]):
        import torch

        order: Any = torch.stack(tuple(values)).sort(dim=0).values
    else:
        order = np.sort(np.stack(values), axis=0)
    if lower or middle[0] == middle[1]:
        return order[middle[0]]
    return order[middle[0]] / 2 + order[middle[1]] / 2
