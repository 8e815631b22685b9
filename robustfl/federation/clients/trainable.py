"""Whether a network of somebody else can be trained: one forward and one backward pass say so."""

from __future__ import annotations

import numpy as np

from robustfl.errors import ParameterError
from robustfl.federation.data.dataset import Dataset
from robustfl.federation.settings import Federation
from robustfl.federation.task import Population, Task

_CLIENTS = 2
_TOLERANCE = 1e-4


def require_trainable(task: Task, dataset: Dataset, settings: Federation) -> None:
    """Train the model of a task on a few samples for one step in the mode of the federation, if it is not robustfl's.

    The models of robustfl pass without being asked. The rule for state is that there is none: a network whose buffers
    change while it runs (batch norm), whose answer to a sample depends on the other samples (also batch norm), or that
    draws random numbers of its own (dropout) is refused. So is one whose initial values do not follow from the
    generator that it is given: no trial of it could be repeated.

    Cost: the network twice, two forward passes of four samples, one of two, and a step of two clients, on the CPU.

    Raises ParameterError, which names what is wrong.
    """
    model = task.model
    if type(model).__module__.startswith("robustfl."):
        return
    import torch

    from robustfl.federation.clients.training import predict, trainer_for

    owner = type(model).__name__
    rows = np.resize(np.arange(len(dataset.train_y)), 2 * _CLIENTS)
    try:
        population = Population(task, dataset, [rows[:_CLIENTS], rows[_CLIENTS:]], 0, "cpu")
        second = Population(task, dataset, [rows[:_CLIENTS], rows[_CLIENTS:]], 0, "cpu")
    except Exception as error:  # whatever its own code does
        raise ParameterError(
            f"{owner} should build and initialise its network. {type(error).__name__}: {error}."
        ) from error
    if not torch.equal(population.initial, second.initial):
        raise ParameterError(
            f"{owner} should draw its initial values from the generator that `_initialise(network, generator)` is "
            "given. It begins with others each time, so that no trial could be repeated."
        )
    x, y = population.features[rows], population.labels[rows]
    before = {name: buffer.clone() for name, buffer in population.module.named_buffers()}
    try:
        logits = predict(population, population.initial, x)
        again, fewer = predict(population, population.initial, x), predict(population, population.initial, x[:2])
        shape = (_CLIENTS, 1, _CLIENTS)
        trainer = trainer_for(population, settings)
        gradients = trainer(population.initial, x.reshape(*shape, *x.shape[1:]), y.reshape(shape))
    except Exception as error:  # whatever the network does with samples of this shape
        other = "" if settings.client_mode == "loop" else " What torch.func.vmap cannot do needs `client_mode: loop`."
        raise ParameterError(
            f"{owner} should map samples [batch, {', '.join(map(str, dataset.input_shape))}] to logits [batch, "
            f"classes], and be trainable. {type(error).__name__}: {error}.{other}"
        ) from error
    if logits.shape != (len(x), population.classes):
        raise ParameterError(
            f"{owner} should map {len(x)} samples to logits [{len(x)}, {population.classes}]. Found "
            f"{list(logits.shape)}."
        )
    changed = [name for name, buffer in population.module.named_buffers() if not torch.equal(buffer, before[name])]
    if changed:
        raise ParameterError(f"{owner} should keep no state. Its buffer `{changed[0]}` changes while it runs.")
    if not torch.equal(logits, again):
        raise ParameterError(
            f"{owner} should draw no random numbers. It answers the same samples in two ways: dropout?"
        )
    if not torch.allclose(logits[:2], fewer, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise ParameterError(f"{owner} should answer each sample by itself. Others change its answer: batch norm?")
    if not bool(torch.isfinite(gradients).all()) or not bool(gradients.any()):
        raise ParameterError(f"{owner} should have finite gradients, not all of them 0, on its initial parameters.")
