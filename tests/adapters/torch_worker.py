"""One process of a group that trains with DDP or FSDP2 and a rule.

Started by `test_torch.py` as `python -m tests.adapters.torch_worker SCENE RANK SIZE STORE`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from robustfl.adapters import ddp, fsdp
from robustfl.aggregation import Aggregator
from robustfl.aggregation.sharded import Exchange, exchange
from robustfl.defenses import CenteredClipping, ClientMomentum, Flag, GeometricMedian, Krum, Mean, Median, TrimmedMean
from robustfl.errors import InfeasibleError, ParameterError, UpdatesError

SCALE = {"scale": -1e6, "nan": float("nan"), "none": 1.0}


def samples(rank: int, size: int) -> tuple[Tensor, Tensor]:
    """This process's part of a problem that a line separates: 16 features and 3 classes."""
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(240, 16, generator=draw)
    y = (x @ torch.randn(16, 3, generator=draw)).argmax(1)
    return x[rank::size], y[rank::size]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 33), nn.ReLU(), nn.Linear(33, 17), nn.ReLU(), nn.Linear(17, 3))


def train(model: nn.Module, rank: int, size: int, wrong: str = "none", steps: int = 60) -> float:
    """Train, while process 0 multiplies its loss, and return the accuracy on all samples."""
    x, y = samples(rank, size)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        (loss * SCALE[wrong] if rank == 0 else loss).backward()
        optimiser.step()
    everything, labels = samples(0, 1)
    with torch.no_grad():
        return float((model(everything).argmax(1) == labels).float().mean())


def trained(
    rank: int, size: int, rule: Aggregator | str | None, wrong: str = "none", *, cap: float = 25, steps: int = 60
) -> tuple[float, Tensor, Any]:
    """The accuracy, the parameters, which are the same on all processes, and the hook."""
    network_ = network()
    model = DistributedDataParallel(network_, bucket_cap_mb=cap)
    hook = None if rule is None else ddp.register(model, rule)
    accuracy = train(model, rank, size, wrong, steps)
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in network_.parameters()])
    rows = [torch.empty_like(flat) for _ in range(size)]
    dist.all_gather(rows, flat)
    assert all(torch.equal(row, flat) or row.isnan().any() for row in rows), "the processes differ"
    return accuracy, flat, hook


def one_process_cannot_spoil_the_gradient(rank: int, size: int) -> None:
    clean, plain, _ = trained(rank, size, None)
    assert clean > 0.9
    assert not trained(rank, size, None, "scale")[0] > 0.6
    for rule in ("Median", "TrimmedMean(f=1)"):
        accuracy, _, hook = trained(rank, size, rule, "scale")
        assert accuracy > 0.75, (rule, accuracy)
        assert (hook.steps, hook.refused, sum(hook.refusals.values())) == (60, {}, 0)
    accuracy, _, hook = trained(rank, size, Mean(), "nan")
    assert accuracy > 0.85
    assert hook.refused == {0: "not finite"}
    assert hook.refusals == {0: 60}
    assert hook.last.rejected.tolist() == [True, *[False] * (size - 1)]
    np.testing.assert_allclose(trained(rank, size, Mean())[1], plain, rtol=0, atol=1e-5)


def buckets_make_no_difference(rank: int, size: int) -> None:
    """Rules that pick or sort entries give the same bits; memories begin anew once, when buckets are formed anew."""
    for rule in (Median(), TrimmedMean(f=1), *((Krum(f=1),) if size >= 5 else ())):
        one, several = (trained(rank, size, rule, "scale", cap=cap, steps=6)[1] for cap in (25, 0.0005))
        assert torch.equal(one, several), rule
    for rule in (ClientMomentum(beta=0.9) >> Median(), CenteredClipping(radius=1.0)):
        hook = trained(rank, size, rule, "scale", cap=0.0005, steps=6)[2]
        assert hook.steps == 6
    _, _, hook = trained(rank, size, Mean(), "nan", cap=0.0005, steps=2)
    assert hook.refusals == {0: 2}, "a process with a NaN in its gradient is refused once a step, in all buckets"


def worlds_that_test_nothing_are_refused(rank: int, size: int) -> None:
    model = DistributedDataParallel(network())
    with pytest.raises(InfeasibleError, match=rf"Krum needs n >= 2f \+ 3 rows. Found n={size}, f={size}"):
        ddp.register(model, Krum(f=size))
    for rule in ("FLTrust", "NNM(f=1)"):
        with pytest.raises(ParameterError, match="`rule` should"):
            ddp.register(model, rule)
    with pytest.raises(ParameterError, match="no module to which `fully_shard`"):
        fsdp.register(network(), Median())
    for n in (1, 2):
        with pytest.raises(InfeasibleError):
            ddp.fit_rule("Median", n)


def bytes_are_those_of_an_all_reduce(rank: int, size: int) -> None:
    """Counted where the rule calls collectives, against the bytes that a ring all-reduce of the same gradient sends."""
    d = 100_003
    plain = 2 * (size - 1) * -(-d // size) * 4
    gradient = torch.randn(d, generator=torch.Generator().manual_seed(rank))
    for rule in (Median(), TrimmedMean(f=1), GeometricMedian(), *((Krum(f=1),) if size >= 5 else ())):
        with Counted(size) as counted:
            flight = Exchange([gradient[:70_000], gradient[70_000:]])
            flight.gathered(rule.aggregate(flight.shard()).value)
        assert plain * 0.99 < counted.sent < 1.1 * plain, (rule, counted.sent / plain)


class Counted:
    """Counts the bytes that this process sends in collectives: a ring sends each block n - 1 times."""

    names = ("all_to_all_single", "all_gather_into_tensor", "all_gather_single", "all_gather", "all_reduce")

    def __init__(self, size: int) -> None:
        self.size, self.sent = size, 0.0
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> Counted:
        for name in (name for name in self.names if hasattr(dist, name)):
            self.patch.setattr(dist, name, self.counting(name, getattr(dist, name)))
        return self

    def __exit__(self, *error: object) -> None:
        self.patch.undo()

    def counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(first: Any, *arguments: Any, **options: Any) -> Any:
            sent = first if name == "all_reduce" else arguments[0]
            others = self.size - 1
            share = {"all_to_all_single": others / self.size, "all_reduce": 2 * others / self.size}.get(name, others)
            self.sent += share * sent.numel() * sent.element_size()
            return call(first, *arguments, **options)

        return counted


def several_rows_for_each_process(rank: int, size: int) -> None:
    counts = [4, 0, 5, *range(3, size)]
    everybody = torch.randn(sum(counts), 61, generator=torch.Generator().manual_seed(3))
    mine = everybody[sum(counts[:rank]) : sum(counts[: rank + 1])]
    for rule in (TrimmedMean(f=2), Krum(f=2), Flag(), GeometricMedian(), Mean()):
        whole, shard = rule.aggregate(everybody), exchange(mine, counts=counts)
        part = rule.aggregate(shard)
        own = slice(shard.offset, shard.offset + shard.d)
        torch.testing.assert_close(part.value, whole.value[own], rtol=0, atol=1e-5)
        assert (part.weights is None) == (whole.weights is None)
    for rows, told in (
        (mine[:, : 61 - (rank == 0)], counts),
        (mine if rank else mine.double(), counts),
        (mine if rank else mine[1:], counts),
        (mine, [*counts[:-1], counts[-1] + (rank == 0)]),
        (mine, counts[1:]),
        (mine.long(), counts),
    ):
        with pytest.raises(UpdatesError, match=r"rows \[counts\[r\], d\]"):
            exchange(rows, counts=told)


def sharded_modules_decide_for_themselves(rank: int, size: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cpu", (size,))

    def run(rule: Any, wrong: str, steps: int) -> tuple[float, Tensor, Any]:
        model = network()
        for layer in (model[0], model[2], model[4]):
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        hooks = None if rule is None else fsdp.register(model, rule)
        accuracy = train(model, rank, size, wrong, steps)
        whole = [parameter.full_tensor().detach().reshape(-1) for parameter in model.parameters()]  # type: ignore[attr-defined]
        return accuracy, torch.cat(whole), hooks

    clean, plain, _ = run(None, "none", 60)
    accuracy, same, hooks = run(Mean(), "none", 60)
    torch.testing.assert_close(same, plain, rtol=0, atol=1e-6)
    assert set(hooks) == {"", "0", "2", "4"}
    assert not run(None, "scale", 60)[0] > 0.6
    accuracy, _, _ = run("Median", "scale", 60)
    assert accuracy > clean - 0.25, (accuracy, clean)
    accuracy, _, hooks = run("GeometricMedian", "nan", 10)
    assert hooks["0"].refusals == {0: 10}
    _, _, hooks = run(ClientMomentum(beta=0.5) >> Median(), "none", 2)
    assert len({id(hook.rule) for hook in hooks.values()}) == 4, "every module has a copy, and so a memory, of its own"


SCENES = {
    "ddp": (
        *(one_process_cannot_spoil_the_gradient, worlds_that_test_nothing_are_refused),
        *(bytes_are_those_of_an_all_reduce, several_rows_for_each_process),
    ),
    "buckets": (buckets_make_no_difference, bytes_are_those_of_an_all_reduce, several_rows_for_each_process),
    "fsdp": (sharded_modules_decide_for_themselves,),
}

if __name__ == "__main__":
    scene, rank, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[4]}", rank=rank, world_size=size)
    for test in SCENES[scene]:
        test(rank, size)
    dist.destroy_process_group()
    sys.stdout.write("done\n")
