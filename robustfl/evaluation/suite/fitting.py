"""Whether the attacks of a suite fit its data, asked once before any trial is played."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robustfl.errors import ParameterError, ScenarioError
from robustfl.evaluation.suite.scenario import World
from robustfl.evaluation.suite.standard import Opponent
from robustfl.threats import Attack, SybilAttack
from robustfl.threats.staging import stages


def needs_images(world: World, attack: Attack | SybilAttack) -> bool:
    """Whether the attack needs images but the samples of the world can never be any: such cells are left out."""
    return bool(world.task.data.tabular) and any(
        stage.needs_images for stage in stages(attack) if isinstance(stage, Attack)
    )


def require_known_to_fit(worlds: Iterable[World], attacks: Iterable[Opponent]) -> None:
    """Check the attacks against what data say of themselves without a file being read; other data pass.

    Raises ScenarioError as :func:`require_fit` does.
    """
    attacks = tuple(attacks)
    for world in worlds:
        if world.task.data.layout is not None:
            _require(world, attacks, *world.task.data.layout)


def require_fit(worlds: Iterable[World], attacks: Iterable[Opponent], root: Path | None) -> None:
    """Check the attacks against the data themselves, in the folder `root`.

    Raises
    ------
    ScenarioError : an attack names a class that the data of a world lack, or makes changes that its samples cannot hold
    DataError : data cannot be loaded
    """
    attacks = tuple(attacks)
    for world in worlds:
        dataset = world.task.data.load(root)
        _require(world, attacks, dataset.input_shape, len(dataset.classes))


def _require(world: World, attacks: tuple[Opponent, ...], shape: tuple[int, ...], classes: int) -> None:
    for attack in attacks:
        if needs_images(world, attack):
            continue
        for stage in stages(attack):
            if not isinstance(stage, Attack):
                continue
            try:
                stage.require_data(shape, classes)
            except ParameterError as error:
                raise ScenarioError(f"{attack} cannot be played on the data of {world.label}: {error}") from None
