"""Bytes that training with DDP sends, counted by the system: in a network of its own, nothing else uses the loopback.

Started by `test_torch.py` as `unshare --map-root-user --net python -m tests.adapters.wire_worker FOLDER SIZE`, which
starts one process for each rank and writes what the first has counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from robustfl.adapters import ddp
from tests.processes import outputs

RULES = ("Median", "GeometricMedian", "NNM(f=1) >> TrimmedMean(f=1)")
FOR_FIVE = ("Krum(f=1)",)
STEPS = 3
WARM = 2
"""Steps that are not counted: DDP forms its buckets anew after the first one, and talks about that."""

READ_FLAGS, WRITE_FLAGS, UP = 0x8913, 0x8914, 0x1
"""SIOCGIFFLAGS, SIOCSIFFLAGS and IFF_UP of <linux/sockios.h> and <linux/if.h>."""


def raise_loopback() -> None:
    """Switch on the loopback of a new network, which begins switched off."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        told = fcntl.ioctl(control, READ_FLAGS, struct.pack("16sH14x", b"lo", 0))
        (flags,) = struct.unpack_from("16xH", told)
        fcntl.ioctl(control, WRITE_FLAGS, struct.pack("16sH14x", b"lo", flags | UP))


def received() -> int:
    """Bytes that have come through the loopback since it exists."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise OSError("/proc/net/dev names no loopback.")


def network() -> nn.Sequential:
    """A quarter of a million parameters, in several buckets."""
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(250, 250) for _ in range(4)))


def counted(rank: int, rule: str | None) -> float:
    """Bytes a step, of all processes together, while they train with a rule, or with the plain mean."""
    model = DistributedDataParallel(network(), bucket_cap_mb=0.4)
    if rule is not None:
        ddp.register(model, rule)
    x = torch.randn(4, 250, generator=torch.Generator().manual_seed(rank))
    before = 0
    for step in range(WARM + STEPS):
        if step == WARM:
            dist.barrier()
            before = received()
            dist.barrier()  # nobody goes on before everybody has read the counter
        model.zero_grad()
        model(x).square().mean().backward()
    dist.barrier()
    return (received() - before) / STEPS


def together(rank: int, size: int) -> dict[str, float]:
    """Bytes a step by the rule; `plain` is DDP without one, and `d` the number of parameters."""
    found = {"d": float(sum(parameter.numel() for parameter in network().parameters())), "plain": counted(rank, None)}
    return {**found, **{rule: counted(rank, rule) for rule in (*RULES, *(FOR_FIVE if size >= 5 else ()))}}


def main(words: list[str]) -> None:
    if len(words) == 2:
        folder, size = Path(words[0]), int(words[1])
        raise_loopback()
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        sys.stdout.write(outputs("tests.adapters.wire_worker", size, folder / "store", seconds=300 * size)[0])
        return
    rank, size = int(words[0]), int(words[1])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{words[2]}", rank=rank, world_size=size)
    told = together(rank, size)
    dist.destroy_process_group()
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
