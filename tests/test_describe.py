"""The pages of `robustfl describe`: text for a terminal, for everything that has a name."""

from __future__ import annotations

import re

import pytest

from robustfl import registry
from robustfl.lookups import described

KINDS = ("defense", "attack", "data", "model", "partition", "report")
NAMED = [(kind, name) for kind in KINDS for name in registry.find(kind)]


@pytest.mark.parametrize(("kind", "name"), NAMED, ids=lambda part: part)
def test_a_page_is_text_for_a_terminal_and_explains_every_parameter(kind: str, name: str) -> None:
    facts = registry.describe(registry.get(kind, name))
    page = described({"kind": kind, **facts})
    assert page.splitlines()[0] == f"{name} ({kind}, {facts['class']})"
    assert not re.search(r"``|:\w+:`|\(:", page)
    assert all(parameter["doc"] for parameter in facts["parameters"])
    assert not re.search(r"\d\.\d{9}", page), "a number with more digits than anybody reads"
    if kind == "defense":
        assert all(f"\n{line}: " in page for line in ("Family", "Requires", "Guarantee", "Breakdown", "Channel"))
    if kind == "attack":
        assert "\nSurface: " in page
