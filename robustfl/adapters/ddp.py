"""A rule in place of the mean of gradients in torch's DistributedDataParallel, at the traffic of the mean.

>>> from robustfl.adapters.ddp import register
>>> model = torch.nn.parallel.DistributedDataParallel(network)  # doctest: +SKIP
>>> robust = register(model, "NNM(f=1) >> TrimmedMean(f=1)")  # doctest: +SKIP
>>> robust.refusals  # after some steps: how often each process was refused  # doctest: +SKIP
Counter({2: 14})

Everything else stays as it is: the loss, the optimiser, the launcher.

What a robust all-reduce protects against
-----------------------------------------
Row i of what the rule is given is the gradient of process i. The rule withstands up to f processes whose *gradients*
are wrong, in any way and by any amount, also with knowledge of all others:

* poisoned, mislabelled or unreadable data on some processes;
* a process that computes nonsense: bad memory, a bad accelerator, another version of a library, a loss that is NaN;
* a participant who contributes data and code of his own, but not the program that communicates.

A gradient that is not finite is refused on all processes alike, also by the plain `Mean`. All processes get the same
bits, and so keep equal models.

What it does not protect against
--------------------------------
Every process computes a part of the answer and hands it to all others. The *communication* must therefore be honest:

* A process that runs other code below the gradient, sends different values in the two exchanges, or a false part of the
  answer, decides that part alone. With such participants, aggregate on a server that nobody else controls.
* A process that stops or falls behind stops everybody, as in any all-reduce.
* Nobody is identified: a process is a rank, and who has two ranks has two rows. There are no signatures.
* Gradients are not hidden: every process sees its share of the columns of all others.
* Fewer than 2f + 1 processes (2f + 3 for Krum) prove nothing; :func:`register` refuses such worlds. Two processes have
  no majority: the median of two is their mean.
* A rule bounds what wrong gradients do in a step. Small pushes in one direction, step by step, are bounded only by
  rules with a memory, such as ``ClientMomentum(beta=0.9) >> CenteredClipping(radius=1)``; and where honest gradients
  disagree much (other data on every process), robust rules lose accuracy even without any attack.

How it works
------------
Each bucket of gradients goes out as soon as the backward pass has filled it, in one all-to-all that gives every
process all rows of its share of the columns. This overlaps with the rest of the backward pass. When the last bucket is
there, the rule decides **once** over the whole gradient: with several buckets, a rule that picks rows does not pick one
process here and another one there, and a process with a NaN in one bucket is refused in all. Geometric rules add their
Gram matrix [n, n] in one all-reduce; then the parts of the answer are gathered. Bytes on the wire are those of an
all-reduce: a reduce-scatter and an all-gather.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from robustfl import registry
from robustfl.aggregation import Aggregation, Aggregator
from robustfl.aggregation.sharded import Exchange
from robustfl.errors import InfeasibleError, ParameterError

if TYPE_CHECKING:
    from torch._C._distributed_c10d import GradBucket
    from torch.futures import Future
    from torch.nn.parallel import DistributedDataParallel


class RobustHook:
    """A communication hook that aggregates the gradients of all processes with a rule; see :func:`register`.

    Attributes
    ----------
    rule : this process's rule; its state is this process's share, for a checkpoint of every process
    last : the answer of the last step, with `weights` [n], `rejected` [n] and `info`; its value is this process's
        share of the columns. None before the first step
    refused : process -> why its gradient was refused in the last step
    refusals : how many steps each process was refused in
    steps : the number of steps
    """

    def __init__(self, rule: Aggregator, group: Any = None) -> None:
        self.rule, self.group = rule, group
        self.last: Aggregation | None = None
        self.refused: dict[int, str] = {}
        self.refusals: Counter[int] = Counter()
        self.steps = 0
        self._flight: Exchange | None = None
        self._waiting: list[tuple[torch.Tensor, Future[torch.Tensor]]] = []
        self._layout: tuple[int, ...] = ()
        self._places: list[int] = []

    def __call__(self, bucket: GradBucket) -> Future[torch.Tensor]:
        """Send a bucket; with the last one, decide and hand every bucket its part of the answer."""
        flat, done = bucket.buffer(), torch.futures.Future[torch.Tensor]()
        if self._flight is None:
            self._flight = Exchange(group=self.group)
        self._flight.send(flat)
        self._waiting.append((flat, done))
        self._places += [id(parameter) for parameter in bucket.parameters()]
        if bucket.is_last():
            self._decide()
        return done

    def _decide(self) -> None:
        flight, self._flight = self._flight, None
        waiting, self._waiting = self._waiting, []
        layout, self._places = tuple(self._places), []
        assert flight is not None
        if self.rule.stateful and layout != self._layout:
            # DDP forms its buckets anew once, after the first step: what was learnt belongs to other columns then.
            self.rule.reset()
        self._layout = layout
        self.last = self.rule.aggregate(flight.shard())
        self.steps += 1
        self.refused = {int(row): reason for row, reason in self.last.info["reasons"].items()}
        self.refusals.update(self.refused.keys())
        for part, (_, done) in zip(flight.gathered(self.last.value), waiting, strict=True):
            done.set_result(part)


def register(model: DistributedDataParallel, rule: Aggregator | str, *, group: Any = None) -> RobustHook:
    """Let a rule decide what the gradient of a DDP model is, in place of the mean over processes.

    Guarantee: that of the rule, with one row for each process. The answer is equal on all processes to the last bit,
    and, for rules that pick or sort entries, whatever the size of the buckets; weighted sums differ between sizes of
    buckets by rounding.

    Cost: bytes and memory of an all-reduce. The exchange overlaps with the backward pass, the decision does not.

    Parameters
    ----------
    model : the model, on every process
    rule : an aggregator or pipeline, or a text such as ``"Krum(f=1)"``; equal on every process
    group : the process group of the model; None for the default group

    Returns
    -------
    The hook, which says after each step who was refused and why.

    Raises
    ------
    ParameterError : the rule is no aggregator, or needs an update of a server, or adds noise for privacy
    InfeasibleError : there are too few processes for the rule, so that it would test nothing. A rule that does not
        declare f is asked with f=1. In a step: too few gradients are usable; then it is raised on all processes

    The documentation of the module says what this protects against and what not.
    """
    hook = RobustHook(fit_rule(rule, dist.get_world_size(group)), group)
    model.register_comm_hook(hook, lambda state, bucket: state(bucket))  # torch refuses annotations that are texts
    return hook


def fit_rule(rule: Aggregator | str, world: int) -> Aggregator:
    """The rule, from a text or as it is, once it is known to be of use for `world` processes.

    Raises as :func:`register` does.
    """
    built = registry.build("defense", rule) if isinstance(rule, str) else rule
    if not isinstance(built, Aggregator):
        raise ParameterError(f"`rule` should be an aggregator, such as 'Krum(f=1)'. Found {built!r}.")
    if built.channel != "dense" or built.client_side or built.protection is not None or built.wants_trusted:
        raise ParameterError(
            f"`rule` should decide about gradients alone. Found {built}, which needs more: a server's own update, a "
            "channel of its own, or changes to how processes train."
        )
    if world < 2:
        raise InfeasibleError(f"An all-reduce should have at least 2 processes. Found {world}.")
    reason = built.infeasible(world, f=1)
    if reason is not None:
        raise InfeasibleError(f"{reason} Rows are processes: start more of them, or take a rule that needs fewer.")
    return built


__all__ = ["RobustHook", "fit_rule", "register"]
