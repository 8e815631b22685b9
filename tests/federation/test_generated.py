"""Generated data: the same in every process, with the warts of real files, and no easier than they say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from robustfl.errors import ParameterError
from robustfl.federation import Task
from robustfl.federation.data.csv_tables import CSV
from robustfl.federation.data.data_sets import Flows, Sessions
from robustfl.federation.data.flows import HEADER
from robustfl.federation.data.partitions import ByClient
from robustfl.federation.data.sessions import EVENTS
from robustfl.federation.models.architectures import GRU, Softmax


def test_flows_are_told_apart_mostly_and_belong_to_sites() -> None:
    flows = Flows(rows=600).load()
    assert flows.classes == ("Benign", "Botnet", "Brute Force", "DoS", "Port Scan")
    assert len(flows.owners) == 12
    assert 0.6 < flows.chance < 0.8
    assert any("'Infinity'" in note for note in flows.notes)
    assert any("`Fwd Header Length.1`" in note for note in flows.notes)
    again = Flows(rows=600)._read(())
    np.testing.assert_array_equal(flows.train_x, again.train_x)
    assert not np.array_equal(flows.train_y, Flows(rows=600, seed=1).load().train_y)
    population = Task(data=Flows(rows=600), model=Softmax(), partition=ByClient()).prepare(clients=12, seed=0)
    assert sum(map(len, population.parts)) == len(flows.train_y)


def test_flows_are_the_file_that_they_write(tmp_path: Path) -> None:
    Flows(rows=300).write(tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text(encoding="latin-1").startswith(HEADER)
    read = CSV(
        path="mine.csv",
        label_column="Attack",
        client_column="Source Site",
        ignore=("Label", "Timestamp", "Flow ID"),
        infinite="clip",
    ).load(tmp_path)
    assert read.classes == ("0", "1")
    assert len(read.train_y) + len(read.test_y) == 300


def test_sessions_differ_in_the_order_of_three_events_alone() -> None:
    sessions = Sessions(samples=600).load()
    x, y = np.concatenate([sessions.train_x, sessions.test_x]), np.concatenate([sessions.train_y, sessions.test_y])
    assert x.shape == (600, 10, 8)
    assert (x.sum(axis=2) == 1).all()
    np.testing.assert_array_equal(x[:, :, : len(EVENTS)].sum(axis=1), 1)
    found = x[:, :, : len(EVENTS)].argmax(axis=1).argsort(axis=1)  # the events in the order of their places
    names = [", ".join(EVENTS[event] for event in order) for order in found]
    assert names == [sessions.classes[label] for label in y]
    assert np.bincount(y).tolist() == [100] * 6
    habits = np.stack([sessions.train_x[sessions.train_owners == owner].mean(axis=(0, 1))[3:] for owner in range(12)])
    assert np.ptp(habits, axis=0).min() > 0.1


def test_a_recurrent_network_reads_sequences_and_nothing_else() -> None:
    generator = torch.Generator().manual_seed(0)
    network = GRU(width=5).build((7, 4), 3, generator)
    x = torch.rand(2, 7, 4, generator=generator)
    assert network(x).shape == (2, 3)
    assert not torch.allclose(network(x), network(x.flip(1)))
    for shape in ((8,), (1, 8, 8)):
        with pytest.raises(ParameterError, match=r"needs sequences \[length, symbols\]"):
            GRU().build(shape, 3, generator)


def test_the_recurrent_network_is_that_of_torch() -> None:
    ours = GRU(width=5).build((7, 4), 3, torch.Generator().manual_seed(0))
    theirs = torch.nn.GRU(4, 5, batch_first=True)
    places = [slice(5, 10), slice(0, 5), slice(10, 15)]  # torch has the gate that resets first
    state = dict(ours.named_parameters())
    with torch.no_grad():
        for mine, other in (("input", "ih"), ("state", "hh")):
            for kind in ("weight", "bias"):
                parameter = state[f"{mine}.{kind}"]
                getattr(theirs, f"{kind}_{other}_l0").copy_(torch.cat([parameter[place] for place in places]))
        x = torch.rand(6, 7, 4)
        expected = ours.head(theirs(x)[1][0])
    torch.testing.assert_close(ours(x), expected)
