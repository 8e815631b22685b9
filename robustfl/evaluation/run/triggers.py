"""Pictures of triggers: a test sample without and with the trigger, small enough to be stored with the results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robustfl.errors import RobustflError
from robustfl.evaluation.results.summaries import Trigger
from robustfl.evaluation.run.pixels import levels, thinning
from robustfl.evaluation.suite.scenario import World
from robustfl.threats import Backdoor, DataPoisoning


def pictures(worlds: Sequence[World], aims: Sequence[DataPoisoning], root: Path | None) -> list[Trigger]:
    """For each world and each backdoor on images: the first tested sample, clean and with the whole trigger.

    `clean` and `marked` are the grey levels or colours [height, width, channels] as hexadecimal bytes over the range of
    the training data. Backdoors that look alike share one picture. Backdoors that do not fit the data have no picture;
    their trials say why.
    """
    found = [_picture(world, aim, root) for world in worlds for aim in aims if isinstance(aim, Backdoor)]
    looks: dict[tuple[Any, ...], Trigger] = {}
    for picture in found:
        if picture is not None:
            looks.setdefault(tuple(value for key, value in picture.items() if key != "aim"), picture)
    return list(looks.values())


def _picture(world: World, attack: Backdoor, root: Path | None) -> Trigger | None:
    import torch

    from robustfl.threats.data.backdoors import Samples

    data = world.task.data.load(root)
    if len(data.input_shape) != 3 or data.input_shape[0] not in (1, 3):
        return None
    x, test = torch.tensor(data.train_x), torch.tensor(data.test_x)
    try:
        attack.require_classes(len(data.classes))
        rows = attack.tested(Samples(x, data.train_y, test, data.test_y), len(data.classes))
        if not len(rows):
            return None
        clean = test[rows[:1]]
        marked = attack.stamp(clean)
    except RobustflError:
        return None
    truth = data.test_y[rows[:1]]
    low, high = float(data.train_x.min()), float(data.train_x.max())
    step = thinning(data.input_shape)
    shown = [levels(image[0, :, ::step, ::step].numpy(), low, high) for image in (clean, marked)]
    channels, height, width = clean[0, :, ::step, ::step].shape
    return {
        "world": world.label,
        "aim": str(attack),
        "height": height,
        "width": width,
        "channels": channels,
        "clean": shown[0],
        "marked": shown[1],
        "truth": data.classes[int(truth[0])],
        "wanted": data.classes[int(attack.wanted(truth, len(data.classes))[0])],
    }
