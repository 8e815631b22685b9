"""The attack surfaces, one contract each. Authors write the mathematics; the machine checks the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, final

import numpy as np
from annotated_types import Ge
from numpy.typing import NDArray
from typing_extensions import Doc

from robustfl.components import Component, checked
from robustfl.errors import AttackError, ParameterError
from robustfl.threats.directions import PairedDirections
from robustfl.threats.knowledge import Facts, Knowledge, Relabelling, View

if TYPE_CHECKING:
    from torch import Tensor

Labels = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Attack(Component, ABC):
    """Anything that malicious clients do; active in rounds `start_round, start_round + every, ... < stop_round`.

    Outside its window the malicious clients behave honestly, which is how behave-then-attack is written.
    """

    surface: ClassVar[str] = ""
    knowledge: ClassVar[Knowledge] = Knowledge.NOTHING
    channels: ClassVar[tuple[str, ...] | None] = None
    """Channels of the defenses that it can be played against; None for all, as for attacks on data."""
    needs_images: ClassVar[bool] = False
    """Whether samples have to be images, [channels, height, width]."""
    made_for: ClassVar[tuple[str, ...]] = ()
    """Names of the rules that it was designed against: a score of such a rule without it says little."""

    start_round: Annotated[int, Ge(0), Doc("first round of the attack")] = 0
    stop_round: Annotated[int | None, Ge(0), Doc("first round without the attack again; never when not given")] = None
    every: Annotated[int, Ge(1), Doc("attack in every so many rounds")] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stop_round is not None and self.stop_round <= self.start_round:
            raise ParameterError(
                f"{type(self).__name__}: `stop_round` should satisfy stop_round > start_round, or the attack never "
                f"acts. Found start_round={self.start_round}, stop_round={self.stop_round}."
            )

    def required_knowledge(self) -> Knowledge:
        """What these hyper-parameters need; the class attribute `knowledge` unless overridden."""
        return self.knowledge

    def fits(self, channel: str) -> bool:
        """Whether the attack can be played against a defense of this channel."""
        return self.channels is None or channel in self.channels

    def confusion(self) -> tuple[int, int] | None:
        """The class that should be taken for another, and that other, where this is the attack's aim."""
        return None

    def active(self, number: int) -> bool:
        """Whether the attack acts in round `number`."""
        started = number >= self.start_round and (number - self.start_round) % self.every == 0
        return started and (self.stop_round is None or number < self.stop_round)


@dataclass(frozen=True, kw_only=True)
class UpdateAttack(Attack):
    """Crafts the updates of the malicious clients from what the adversary knows."""

    surface: ClassVar[str] = "update"
    channels: ClassVar[tuple[str, ...] | None] = ("dense", "rewards")

    @abstractmethod
    def craft(self, view: View) -> Tensor:
        """The malicious updates [f, d], in the type and on the device of the honest ones."""

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
        rng: np.random.Generator | int = 0,
    ) -> Any:
        """Craft `f` malicious updates against `honest` [h, d], outside any simulation.

        `honest` and the answer [f, d] are numpy arrays or torch tensors; `own` [f, d] is what the malicious clients
        would have sent honestly, `aggregate` the defense under attack, `history` the global models [d] so far, from
        the initial to the present one (of a server with steps of length 1), `relabelled` [h, d] what the honest
        clients would have sent with the labels that the attack wants: each only for attacks that need it.

        Raises AttackError for inputs of the wrong shape or type, or that the attack needs and were not given.
        """
        import torch

        from robustfl.threats.adversary import Adversary

        f = checked(f, int, (Ge(0),), type(self).__name__, "f")
        numpy = not isinstance(honest, torch.Tensor)
        # Reversed or read-only arrays, which torch cannot share, are copied.
        rows = torch.as_tensor(np.require(honest, requirements=["C", "W"])) if numpy else honest
        if rows.ndim != 2 or not rows.shape[1] or not rows.is_floating_point():
            raise AttackError(
                f"`honest` should be floating-point updates [h, d], d >= 1. Found {rows.dtype} {list(rows.shape)}."
            )

        def like_rows(values: Any, name: str, count: int, whose: str) -> Tensor:
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
            rotates=bool(getattr(aggregate, "rotates", False)),
            message=message,
            rng=np.random.default_rng(rng),
        )
        crafted = Adversary(self).craft(facts)
        return crafted.numpy() if numpy else crafted


@dataclass(frozen=True, kw_only=True)
class TiledAttack(UpdateAttack):
    """An attack whose malicious clients all send one vector, made harder to spot on request.

    Identical rows are trivial prey for similarity defenses, so a score against tiled rows alone overstates them.
    `diversify="jitter"` adds fresh noise of 1 % of the length; `"pairs"` adds plus and minus a unit direction, times
    the length: each identity keeps its own, directions are orthogonal and cancel in the mean of an even f.
    """

    diversify: Annotated[
        Literal["none", "jitter", "pairs"], Doc("how the malicious rows are made to differ from each other")
    ] = "none"

    @abstractmethod
    def vector(self, view: View) -> Tensor:
        """The one malicious update [d]."""

    @final
    def craft(self, view: View) -> Tensor:
        vector = self.vector(view)
        rows = vector.repeat(view.f, 1)
        if self.diversify == "jitter":
            noise = view.normal(view.f)
            radius = 0.01 * vector.norm() * rows.new_tensor(view.rng.random((view.f, 1)) ** (1.0 / view.d))
            rows += noise / noise.norm(dim=1, keepdim=True) * radius
        lasting = self.offsets(view)
        return rows if lasting is None else rows + vector.norm() * lasting

    @final
    def offsets(self, view: View) -> Tensor | None:
        """[f, d] what each row adds to the vector for good, in its lengths; None where rows have nothing of the kind.

        A search has to ask the defense about the rows that will be sent, not about their common part.
        """
        if self.diversify != "pairs":
            return None
        directions: PairedDirections = view.memory.setdefault("pairs", PairedDirections())
        return directions.rows(view.ids, view.normal)


@dataclass(frozen=True, kw_only=True)
class DataPoisoning(Attack):
    """Changes the training data of the malicious clients, which then train as every client does.

    Before an attack on updates, `poisoning >> attack`, they train on it in its way, and it crafts what is sent.
    """

    surface: ClassVar[str] = "data"
    knowledge: ClassVar[Knowledge] = Knowledge.OWN

    @abstractmethod
    def poison_labels(self, labels: Labels, classes: int, rng: np.random.Generator) -> Labels:
        """The malicious clients' labels [N] after poisoning; called once, before the first round."""

    def poison(self, labels: Labels, classes: int, rng: np.random.Generator) -> tuple[Labels, NDArray[np.bool_]]:
        """Labels [N] after poisoning, and whose features change as well [N]: nobody's, unless overridden."""
        return self.poison_labels(labels, classes, rng), np.zeros(len(labels), dtype=np.bool_)

    def poison_features(self, features: Tensor, part: int) -> Tensor:
        """Those samples [m, ...] as the attackers' number `part` (from 0) shows them to the model: a new tensor."""
        return features

    def __rshift__(self, attack: Any) -> Any:
        """What an attack on updates makes of those from poisoned data: `BadNets() >> ModelReplacement()`."""
        from robustfl.threats.poisoned import PoisonedAttack

        if not isinstance(attack, UpdateAttack) or isinstance(attack, PoisonedAttack):
            raise ParameterError(f"{self!r} should stand before an attack on updates. Found {attack!r}.")
        return PoisonedAttack(first=self, then=attack)

    def used(self, labels: Labels, poisoned: Labels) -> NDArray[np.bool_]:
        """Which of their samples [N] malicious clients train on while they attack: all, unless overridden.

        Who has none of these uses all.
        """
        return np.ones(len(labels), dtype=np.bool_)
