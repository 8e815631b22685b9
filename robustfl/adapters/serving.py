"""What the adapters of all frameworks do alike: they make a server of a rule, and tell what it refused."""

from __future__ import annotations

import logging
from typing import Any

from robustfl.aggregation import Aggregator
from robustfl.errors import ParameterError
from robustfl.server import RobustServer, Step


def served(rule: Aggregator | str | RobustServer, nodes: int | None = None) -> RobustServer:
    """The server of a rule, which must be able to answer `nodes` replies where that number is known.

    Raises
    ------
    ParameterError : `nodes` is no number of clients, or the rule needs more of them than that
    """
    server = rule if isinstance(rule, RobustServer) else RobustServer(rule)
    if nodes is None:
        return server
    if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
        raise ParameterError(f"`nodes` should satisfy nodes >= 1. Found nodes={nodes!r}.")
    lacking = server.rule.infeasible(nodes)
    if lacking is not None:
        raise ParameterError(f"`nodes` should be enough for the rule. {lacking} Raise `nodes`, or lower f.")
    return server


def log_step(log: logging.Logger, number: Any, step: Step) -> None:
    """Tell whose replies were left out of round `number`, and whether the model was kept."""
    for client, reason in step.refused.items():
        log.warning("round %s: the reply of %s is refused: %s", number, client, reason)
    if step.held:
        log.warning("round %s: the model stays as it was: %s", number, step.held)
