"""A function of somebody else as an attack on updates."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from typing_extensions import Doc

from robustfl.errors import AttackError, ParameterError
from robustfl.functions import accepted_names, given_function, label_of, modules_of, name_of
from robustfl.threats.knowledge import Knowledge
from robustfl.threats.updates.contract import UpdateAttack
from robustfl.threats.updates.view import View

if TYPE_CHECKING:
    from torch import Tensor

SHOWN: dict[str, Knowledge] = {
    "honest": Knowledge.PEERS,
    "own": Knowledge.OWN,
    "aggregate": Knowledge.DEFENSE,
    "f": Knowledge.NOTHING,
    "rng": Knowledge.NOTHING,
}
"""What a function may ask for by the names of its parameters, and what an attacker has to know for it."""


@dataclass(frozen=True, kw_only=True, repr=False)
class AttackFromFunction(UpdateAttack):
    """From function: malicious clients send what a function makes of what it asks for.

    Formula: ``V = function(honest, f, ...)``, [f, d], or one row [d] that all malicious clients send.

    Knowledge: what the parameters of the function are called. ``honest`` [h, d] are the updates of the honest clients,
    ``own`` [f, d] what the malicious ones would have sent honestly, ``aggregate`` the defense as a function (of rows of
    which the first f are malicious), ``f`` their number, ``rng`` a generator of numpy. Arrays are copies.

    Parameters
    ----------
    function : the function, or a text ``"module:function"``
    accepts : the arrays that the function gets: of ``"numpy"``, or tensors of ``"torch"`` on the CPU

    Raises
    ------
    ParameterError : a parameter of the function without a default has another name than these

    Examples
    --------
    >>> import numpy as np
    >>> from robustfl.adapters import AttackFromFunction
    >>> def opposite(honest):
    ...     return -10 * honest.mean(axis=0)
    >>> AttackFromFunction(opposite)(np.array([[1.0, 2.0], [3.0, 4.0]]), f=2).tolist()
    [[-20.0, -30.0], [-20.0, -30.0]]
    """

    knowledge: ClassVar[Knowledge] = Knowledge.PEERS | Knowledge.OWN | Knowledge.DEFENSE

    function: Annotated[object, Doc("function that makes the malicious updates, or `module:function`")] = field(
        kw_only=False
    )
    accepts: Annotated[Literal["numpy", "torch"], Doc("kind of arrays that the function gets")] = "numpy"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "function", given_function(self.function))
        if not self._asks:
            raise ParameterError(
                f"An attack should ask for what it needs by parameters named {', '.join(SHOWN)}. "
                f"{label_of(self._function)} has {', '.join(accepted_names(self._function)) or 'none'}."
            )
        signature = inspect.signature(self._function).parameters.values()
        unknown = [
            p.name for p in signature if p.name not in SHOWN and p.default is p.empty and p.kind.value in (0, 1, 3)
        ]
        if unknown:
            raise ParameterError(
                f"Parameters of an attack without a default should be named {', '.join(SHOWN)}. "
                f"{label_of(self._function)} has {', '.join(unknown)}."
            )

    def __repr__(self) -> str:
        return f"AttackFromFunction({label_of(self._function)})"

    def __str__(self) -> str:
        return label_of(self._function)

    def parameters(self) -> dict[str, Any]:
        """The hyper-parameters as JSON values; the function is known by its name."""
        return {**super().parameters(), "function": name_of(self._function)}

    @property
    def modules(self) -> tuple[str, ...]:
        return modules_of(self._function)

    def required_knowledge(self) -> Knowledge:
        known = Knowledge.NOTHING
        for name in self._asks:
            known |= SHOWN[name]
        return known

    @property
    def _function(self) -> Callable[..., Any]:
        given: Any = self.function
        function: Callable[..., Any] = given
        return function

    @property
    def _asks(self) -> tuple[str, ...]:
        return tuple(name for name in accepted_names(self._function) if name in SHOWN)

    def craft(self, view: View) -> Tensor:
        import torch

        shown = {name: self._shown(name, view) for name in self._asks}
        try:
            crafted = torch.as_tensor(self._function(**shown))
        except (TypeError, ValueError, RuntimeError) as error:
            raise AttackError(f"{self!r} made no updates: {type(error).__name__}: {error}") from error
        like = view.full(0.0)
        crafted = crafted.detach().to(dtype=like.dtype, device=like.device, copy=True)
        return crafted.repeat(view.f, 1) if crafted.ndim == 1 else crafted

    def _shown(self, name: str, view: View) -> Any:
        if name in ("honest", "own"):
            return self._given(getattr(view, name).clone())
        if name == "aggregate":
            import torch

            like = view.full(0.0)
            return lambda rows: self._given(view.aggregate(torch.as_tensor(rows).to(like)))
        return view.rng if name == "rng" else view.f

    def _given(self, rows: Tensor) -> Any:
        return rows.cpu().numpy() if self.accepts == "numpy" else rows.cpu()
