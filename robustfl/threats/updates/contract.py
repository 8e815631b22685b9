"""Attacks on updates: the contract, and the machine that runs an attack and checks what it has crafted."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

import numpy as np
from annotated_types import Ge
from typing_extensions import Doc

from robustfl.components import checked
from robustfl.errors import AttackError
from robustfl.threats.adversary import Adversary, MessageAttack
from robustfl.threats.knowledge import Knowledge
from robustfl.threats.updates.directions import PairedDirections
from robustfl.threats.updates.forms import entries_of, matrix_like, matrix_of, summable
from robustfl.threats.updates.view import Facts, Relabelling, View

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class UpdateAttack(MessageAttack[Facts, "Tensor"]):
    """Crafts the updates of the malicious clients from what the adversary knows."""

    surface: ClassVar[str] = "updates"
    overflows: ClassVar[bool] = False
    """Whether numbers that are not finite, or too large to sum, are what the attack is about."""
    channels: ClassVar[tuple[str, ...] | None] = ("dense", "rewards", "predictions", "virtual_data", "peers")

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel.

        Where clients send predictions, and among peers, there is no global model, so an attack that computes with one
        does not fit.
        """
        return super().fits(channel) and not (channel in ("predictions", "peers") and self.needs_model)

    @property
    def needs_model(self) -> bool:
        """Whether the attack computes with the global model; by default it does when it declares HISTORY."""
        return Knowledge.HISTORY in self.required_knowledge()

    @abstractmethod
    def craft(self, view: View) -> Tensor:
        """The malicious updates [f, d], in the type and on the device of the honest ones."""

    @final
    def nothing(self, facts: Facts) -> Tensor:
        return facts.honest.new_empty((0, facts.honest.shape[1]))

    @final
    def look(self, facts: Facts, memory: dict[str, Any]) -> View:
        if len(facts.honest) == 0:
            raise AttackError("An attack needs at least one honest update to hide among. Found none.")
        return View(facts, self.required_knowledge(), self, memory)

    @final
    def checked(self, crafted: Any, view: View, facts: Facts) -> Tensor:
        import torch

        changed = view.changed()
        if changed:
            raise AttackError(f"{self!r} changed {' and '.join(changed)}, which it may only read. Work on a copy.")
        wanted = (facts.f, facts.honest.shape[1])
        if not isinstance(crafted, torch.Tensor):
            raise AttackError(
                f"{self!r} should craft a torch tensor {wanted}. Found {type(crafted).__name__}. "
                f"Convert with `view.honest.new_tensor`, or `torch.as_tensor` and the type of `view.full(0.0)`."
            )
        shape = tuple(crafted.shape)
        if shape != wanted:
            raise AttackError(f"{self!r} should craft updates of shape {wanted}. Found {shape}.")
        if crafted.dtype != facts.honest.dtype or crafted.device != facts.honest.device:
            expected, found = f"{facts.honest.dtype} on {facts.honest.device}", f"{crafted.dtype} on {crafted.device}"
            raise AttackError(f"{self!r} should craft updates of type {expected}. Found {found}.")
        if view.lends(crafted) or (facts.f > 1 and crafted.stride(0) == 0):
            raise AttackError(
                f"{self!r} returned rows that share memory with each other or with what it was shown. "
                f"Return copies, as from `repeat` or `clone`."
            )
        return crafted if self.overflows else summable(crafted, facts.f + len(facts.honest))

    @final
    def __call__(
        self,
        honest: Any,
        *,
        f: int,
        own: Any = None,
        aggregate: Callable[[Any], Any] | None = None,
        history: Sequence[Any] = (),
        relabelled: Any = None,
        message: Literal["delta", "gradient"] = "gradient",
        classes: int | None = None,
        rng: np.random.Generator | int = 0,
    ) -> Any:
        """Craft `f` malicious updates against `honest` [h, d], outside any federation.

        `honest` and the answer [f, d] are numpy arrays or torch tensors. Like defenses, attacks also take a list (or a
        mapping from ids) of arrays, lists of arrays or state dicts, and answer with a list of such updates; leaves
        beside the geometry, such as counters, are then the honest clients' medians. The other inputs are given only for
        attacks that need them. `own` [f, d] is what the malicious clients would have sent honestly, and `aggregate` is
        the defense under attack. `history` holds the global models [d] from the initial to the present one, of a server
        with learning rate 1. `relabelled` [h, d] is what the honest clients would have sent with the labels that the
        attack wants. `classes` is C when the rows are predictions less 1/C, d = m C.

        Raises AttackError when inputs have a wrong shape or type, or when an input that the attack needs is missing.
        """
        import torch

        f = checked(f, int, (Ge(0),), type(self).__name__, "f")
        batch = entries_of(honest)
        if batch is not None:
            honest = matrix_of(batch)
        numpy = not isinstance(honest, torch.Tensor)
        # Torch cannot share reversed or read-only arrays, so these are copied.
        try:
            rows = torch.as_tensor(np.require(honest, requirements=["C", "W"])) if numpy else honest
        except (TypeError, ValueError) as error:
            raise AttackError(f"`honest` should be floating-point updates [h, d], d >= 1. {error}") from None
        if rows.ndim != 2 or not rows.shape[1] or not rows.is_floating_point():
            raise AttackError(
                f"`honest` should be floating-point updates [h, d], d >= 1. Found {rows.dtype} {list(rows.shape)}."
            )

        def like_rows(values: Any, name: str, count: int, whose: str) -> Tensor:
            if batch is not None:
                values = matrix_like(values, batch, name)
            given = values if isinstance(values, torch.Tensor) else torch.as_tensor(np.array(values))
            if tuple(given.shape) != (count, rows.shape[1]):
                raise AttackError(
                    f"`{name}` should have a row for each {whose} client, {[count, rows.shape[1]]}. "
                    f"Found {list(given.shape)}."
                )
            return given.to(rows, copy=True)

        def own_rows() -> Tensor:
            if own is None:
                raise AttackError(f"{self!r} needs `own`, the malicious clients' own honest updates [f, d].")
            return like_rows(own, "own", f, "malicious")

        def relabelled_rows(_: Relabelling) -> Tensor:
            if relabelled is None:
                raise AttackError(
                    f"{self!r} needs `relabelled`, the honest clients' updates on wrong labels [h, d]: outside of a "
                    "federation nobody trains."
                )
            return like_rows(relabelled, "relabelled", len(rows), "honest")

        models = [torch.as_tensor(np.array(model)).to(rows) for model in history]
        facts = Facts(
            round=self.start_round,
            f=f,
            declared_f=f,
            honest=rows,
            honest_ids=tuple(range(len(rows))),
            own=own_rows,
            relabelled=relabelled_rows,
            weights=models[-1] if models else None,
            previous_weights=models[-2] if len(models) > 1 else None,
            initial_weights=models[0] if models else None,
            aggregate=aggregate,
            rotation_equivariant=bool(getattr(aggregate, "rotation_equivariant", False)),
            message=message,
            classes=classes,
            rng=np.random.default_rng(rng),
        )
        crafted = Adversary(self).craft(facts)
        answer = crafted.numpy() if numpy else crafted
        return answer if batch is None else batch.restore_rows(answer, list(range(len(rows))), np.ones((f, len(rows))))


@dataclass(frozen=True, kw_only=True)
class TiledAttack(UpdateAttack):
    """An attack whose malicious clients all send the same vector, which can be made harder to notice.

    Defenses that compare rows easily find identical rows, so a score against identical rows alone overstates such
    defenses. `diversify="jitter"` adds new noise in every round, of at most 1 % of the vector's length.
    `diversify="pairs"` gives each identity its own unit direction and adds it, times the vector's length. Two
    directions of a pair are opposite and different pairs are orthogonal, so they cancel in the mean when f is even.
    """

    diversify: Annotated[
        Literal["none", "jitter", "pairs"],
        Doc("how malicious rows are made to differ: not at all, by small new noise, or by lasting pairs of directions"),
    ] = "none"

    @abstractmethod
    def vector(self, view: View) -> Tensor:
        """The malicious update [d] that all malicious clients send; a search may find one for each client, [f, d]."""

    def craft(self, view: View) -> Tensor:
        import torch

        vector = self.vector(view)
        if not isinstance(vector, torch.Tensor):
            raise AttackError(
                f"{self!r} should find a torch tensor [d]. Found {type(vector).__name__}. `torch.as_tensor` with the "
                "type of `view.full(0.0)` converts."
            )
        rows = vector.repeat(view.f, 1) if vector.ndim == 1 else vector.clone()
        if self.diversify == "jitter":
            noise = view.normal(view.f)
            radius = (
                0.01
                * vector.norm(dim=-1, keepdim=True)
                * rows.new_tensor(view.rng.random((view.f, 1)) ** (1.0 / view.d))
            )
            rows += noise / noise.norm(dim=1, keepdim=True) * radius
        lasting = self.offsets(view)
        return rows if lasting is None else rows + vector.norm(dim=-1, keepdim=True) * lasting

    @final
    def offsets(self, view: View) -> Tensor | None:
        """What each row adds to the vector in all rounds, [f, d] in lengths of the vector; None when rows add nothing.

        A search has to ask the defense about the rows that will be sent, not only about their common part.
        """
        if self.diversify != "pairs":
            return None
        directions: PairedDirections = view.memory.setdefault("pairs", PairedDirections())
        return directions.rows(view.ids, view.normal)
