"""What adapters do where no framework is installed."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robustfl.adapters.declared import medians
from robustfl.adapters.serving import log_step, served
from robustfl.defenses import Krum
from robustfl.errors import ParameterError
from robustfl.server import RobustServer, Step
from tests.conftest import environment

MODULES = {"flower": "flwr", "nvflare": "nvflare", "pfl": "pfl"}


@pytest.mark.parametrize("name", MODULES)
def test_a_missing_framework_is_one_error_that_says_how_to_install_it(name: str) -> None:
    hidden = f"import sys; sys.modules[{MODULES[name]!r}] = None\n"
    code = f"""{hidden}
from robustfl.errors import MissingExtraError
try:
    import robustfl.adapters.{name}
except MissingExtraError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment())
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip().endswith(f"pip install 'robustfl[{name}]'.")


NUMBERS = st.floats(-100, 100)
LIES = st.one_of(
    st.floats(), st.integers(), st.sampled_from([10**400, -(10**400), "text", None, [1.0], math.nan, math.inf])
)


@given(
    honest=st.lists(NUMBERS, min_size=1, max_size=6),
    lies=st.lists(st.dictionaries(st.sampled_from(["loss", "boast"]), LIES), max_size=5),
)
def test_fewer_than_half_move_no_median_beyond_what_the_others_declare(
    honest: list[float], lies: list[dict[str, Any]]
) -> None:
    lies = lies[: len(honest) - 1]
    told = medians([*lies, *[{"loss": value} for value in honest]])
    assert set(told) == {"loss"}
    assert min(honest) <= told["loss"] <= max(honest)


def test_nothing_declared_gives_nothing() -> None:
    assert medians([]) == medians([{}, {}]) == medians([{"loss": True}, {"loss": None}, {"loss": [1.0]}]) == {}


def test_a_rule_that_so_few_nodes_cannot_serve_is_refused() -> None:
    assert served(Krum(f=1), 5).rule == Krum(f=1)
    server = RobustServer("mean")
    assert served(server) is served(server, 1) is server
    with pytest.raises(ParameterError, match=r"`nodes` should be enough for the rule\. Krum needs n >= 2f \+ 3"):
        served(Krum(f=1), 4)
    for wrong in (0, True, 2.0):
        with pytest.raises(ParameterError, match="nodes >= 1"):
            served(server, wrong)  # type: ignore[arg-type]


def test_what_was_refused_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    step = Step(model=None, answer=None, refused={"a": "w: not finite"}, held="too few")
    with caplog.at_level(logging.WARNING):
        log_step(logging.getLogger("x"), 3, step)
    assert caplog.messages == [
        "round 3: the reply of a is refused: w: not finite",
        "round 3: the model stays as it was: too few",
    ]
