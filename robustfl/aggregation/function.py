"""A function of somebody else as a defense: what it lacks (hostile rows, types, preconditions) the base class adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.aggregation.contracts import Aggregator
from robustfl.aggregation.defense import Outcome
from robustfl.aggregation.kernels.base import Array, is_tensor
from robustfl.aggregation.updates.rows import Rows
from robustfl.errors import ParameterError, RobustflError, UpdatesError
from robustfl.functions import accepted_names, given_function, label_of, modules_of, name_of


@dataclass(frozen=True, kw_only=True, repr=False)
class FromFunction(Aggregator):
    """From function: any function from rows [n, d] to one row [d] is a defense like all others.

    Formula: ``A(X) = function(X)``, or ``function(X, f=f)`` if the function has a parameter of this name.

    The function gets a copy of the clean rows: what is missing, not finite or of another shape has been refused before,
    as for every defense. What it returns has to be finite and of the length of a row. Trials are named after it
    (:mod:`robustfl.functions`), and stored results are played again when its module, or what that imports, changes.

    Shapes: [n, d] to [d]. Cost: a copy of all rows, and the function.
    Guarantee: none; `requires` is what you claim, and :func:`robustfl.testing.check_aggregator` examines it.

    Parameters
    ----------
    function : the function, an object that can be called, or a text ``"module:function"``
    f : number of rows that may be Byzantine; None for a function that has no such number
    requires : the (a, b) of its precondition ``n >= a f + b``
    accepts : the array that the function gets: of ``"numpy"``, or a tensor of ``"torch"`` on the CPU

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.adapters import FromFunction
    >>> def house(rows, f):
    ...     return np.sort(rows, axis=0)[f : len(rows) - f].mean(axis=0)
    >>> rule = FromFunction(house, f=1)
    >>> rule([[1.0], [2.0], [1e9], [np.nan], [3.0]]).tolist()
    [2.5]
    >>> rule.aggregate([[1.0], [2.0], [np.nan]])
    Traceback (most recent call last):
    ...
    robustfl.errors.InfeasibleError: FromFunction needs n >= 2f + 1 rows. Found n=2, f=1. 1 of 3 rows were rejected, \
which does not lower f. Row 2: not finite. Lower f, use a rule with a weaker precondition, or collect more updates.
    """

    function: Annotated[object, Doc("function from rows [n, d] to one row, or `module:function`")] = field(
        kw_only=False
    )
    f: Annotated[int | None, Ge(0), Doc("number of rows that may be Byzantine, if the function is told it")] = None
    requires: Annotated[tuple[int, int], Doc("(a, b) of the precondition n >= a f + b")] = (2, 1)  # type: ignore[misc]  # other rules have it as a class
    accepts: Annotated[Literal["numpy", "torch"], Doc("kind of array that the function gets")] = "numpy"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "function", given_function(self.function))
        if len(self.requires) != 2 or min(self.requires) < 0:
            raise ParameterError(f"`requires` should be (a, b), both at least 0. Found requires={self.requires!r}.")

    def __repr__(self) -> str:
        told = f", f={self.f}" if self.f is not None else ""
        return f"FromFunction({label_of(self._function)}{told})"

    def __str__(self) -> str:
        return label_of(self._function)

    def parameters(self) -> dict[str, Any]:
        """The hyper-parameters as JSON values; the function is known by its name."""
        return {
            "function": name_of(self._function),
            "f": self.f,
            "requires": list(self.requires),
            "accepts": self.accepts,
        }

    @property
    def modules(self) -> tuple[str, ...]:
        return modules_of(self._function)

    @property
    def _function(self) -> Callable[..., Any]:
        given: Any = self.function
        function: Callable[..., Any] = given
        return function

    def _aggregate(self, rows: Rows) -> Outcome:
        if rows.source.d_here != rows.source.d:
            raise UpdatesError(f"{self!r} needs whole rows, and this process holds some of their columns alone.")
        matrix = rows.materialised()
        told = {"f": self.f} if self.f is not None and "f" in accepted_names(self._function) else {}
        answer = self._function(self._given(matrix), **told)
        return Outcome(self._taken(answer, matrix))

    def _given(self, matrix: Array) -> Array:
        if self.accepts == "numpy":
            return matrix.cpu().numpy() if is_tensor(matrix) else matrix
        import torch

        return matrix.cpu() if is_tensor(matrix) else torch.from_numpy(matrix)

    def _taken(self, answer: Any, matrix: Array) -> Array:
        """The answer in the type and on the device of the rows."""
        if is_tensor(answer):
            answer = answer.detach().cpu().numpy()
        try:
            with np.errstate(over="ignore"):
                value = np.asarray(answer).astype(np.float64, casting="same_kind")
        except (TypeError, ValueError):
            raise RobustflError(f"{self!r} returned {type(answer).__name__}, which is no row of numbers.") from None
        if value.shape != matrix.shape[1:]:
            raise RobustflError(
                f"{self!r} returned shape {list(value.shape)} in place of {list(matrix.shape[1:])}: a function maps "
                "rows [n, d] to one row [d]."
            )
        if is_tensor(matrix):
            import torch

            return torch.as_tensor(value).to(matrix)
        with np.errstate(over="ignore"):
            taken: Array = value.astype(matrix.dtype)
        return taken
