"""`flwr run` on this machine: six nodes in a private home, of which one does something else in every round."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

APP = Path(__file__).parent / "app"
sys.path.insert(0, str(APP))
from liars.hostile import ACCEPTED, KINDS  # noqa: E402
from liars.task import accuracy, start, trained  # noqa: E402

REASONS = {
    "nan": "weight: not finite",
    "huge": "too large to sum",
    "wide": "weight: not finite",
    "names": "names differ",
    "axis": "weight: shape [1, 64, 10]",
    "pickled": "ValueError: Object arrays cannot be loaded",
    "no arrays": "names differ",
}


PORTS = ("FLWR_LOCAL_SUPERLINK_HTTP_API_PORT", "FLWR_LOCAL_CONTROL_API_PORT")


def free_ports(number: int) -> list[str]:
    with ExitStack() as held:
        taken = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [str(one.getsockname()[1]) for one in taken]


def of_home(home: Path) -> list[int]:
    """The processes that were started with this home of Flower."""
    mark, found = f"FLWR_HOME={home}\0".encode(), []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in place.read_bytes() + b"\0":
                found.append(int(place.parent.name))
        except OSError:  # it has ended, or belongs to somebody else
            continue
    return found


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home of Flower, whose processes are gone afterwards."""
    folder = tmp_path / "home"
    folder.mkdir()
    yield folder
    for kind in (signal.SIGTERM, signal.SIGKILL):
        for process in of_home(folder):
            os.kill(process, kind)
        for _ in range(100):
            if not of_home(folder):
                return
            time.sleep(0.1)
    raise AssertionError(f"processes are left over: {of_home(folder)}")


def test_six_nodes_with_one_liar_learn_as_well_as_five_honest_ones(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    quiet |= {"FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    # Without ports of its own it would find the server of another home, if one runs on this machine.
    quiet |= dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    command = [sys.executable, str(APP.parent / "patient.py"), "run", str(APP), "--stream"]
    command += ["--run-config", f'out="{out}"', "--federation-config", "num-supernodes=6"]
    ended = subprocess.run(
        command,
        env={**os.environ, **quiet, "PATH": path, "FLWR_HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1500,
        cwd=tmp_path,
    )
    assert out.exists(), ended.stdout[-4000:] + ended.stderr[-4000:]
    told = json.loads(out.read_text())
    for kind, reasons in zip(KINDS, told["reasons"], strict=True):
        if kind in REASONS:
            assert len(reasons) == 1, kind
            assert reasons[0].startswith(REASONS[kind])
        else:
            assert reasons == [], kind
    assert set(KINDS) == {*REASONS, *ACCEPTED, "dead"}
    assert all(metrics["robustfl/held"] == 0 and 0 < metrics["loss"] < 1 for metrics in told["trained"])
    assert all(set(metrics) == {"accuracy", "num-examples"} for metrics in told["evaluated"])
    assert told["counter"] == 10 * 20
    assert told["types"]["norm.num_batches_tracked"] == "int64"
    assert told["least_variance"] > 0
    clean = start()
    for number in range(1, 11):
        models = [trained(clean, part, 6, number) for part in range(1, 6)]
        clean = {name: sum(one[name] for one in models) / 5 for name in clean}
    assert told["accuracy"] > accuracy(clean) - 0.03
