"""Federations as suites name them: their network, if they have one, is a component."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from robustfl import registry
from robustfl.components import Component
from robustfl.errors import RobustflError
from robustfl.evaluation.specs import from_canonical
from robustfl.federation.settings import Federation


def _named_network(value: Any) -> Any:
    """The values of a federation, with the family of graphs that they name in place of its name, or why there is none.

    The federation itself says so at the right key.
    """
    if not isinstance(value, dict) or value.get("topology") is None or isinstance(value["topology"], Component):
        return value
    try:
        family: Any = registry.build("topology", from_canonical(value["topology"]))
    except RobustflError as error:
        family = error
    return {**value, "topology": family}


FederationPart = Annotated[Federation, BeforeValidator(_named_network)]


def require_server(federation: Federation) -> None:
    """Raise ValueError where spies would watch peers, who have no server."""
    if federation.topology is not None:
        raise ValueError(
            "`privacy` says who watches clients of a server, and peers of a `topology` have none. Leave it out; "
            "records of peers say whose updates malicious ones can compute (`observable`)"
        )
