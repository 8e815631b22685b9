"""What shells offer when somebody presses the tab key: names that fit what was typed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def _fitting(known: Iterable[str], typed: str) -> list[str]:
    return sorted({name for name in known if name.startswith(typed)})


def scenarios(incomplete: str) -> list[str]:
    """The catalogue, and the YAML files of the folder that was typed so far."""
    from robustfl import registry

    folder = incomplete[: incomplete.rfind("/") + 1]
    files = [f"{folder}{path.name}" for path in Path(folder or ".").glob("*.yaml")]
    return _fitting([*registry.scenario_files(), *files], incomplete)


def named(incomplete: str) -> list[str]:
    """Everything that `robustfl describe` knows by name alone."""
    from robustfl import registry

    components = [name for kind in registry.component_kinds() for name in registry.find(kind)]
    return _fitting([*components, *registry.scenario_files(), *registry.suite_files()], incomplete)


def kinds(incomplete: str) -> list[str]:
    """The kinds of `robustfl list`."""
    from robustfl import registry

    return _fitting([*map(registry.plural, registry.kinds()), "measures"], incomplete)


def codes(incomplete: str) -> list[str]:
    """The pages of `robustfl explain`, in the case in which one was begun."""
    from robustfl.evaluation.trust import explain

    found = (*explain.codes(), *explain.GUIDES)
    return _fitting([name.lower() for name in found] if incomplete.islower() else found, incomplete)


def formats(incomplete: str) -> list[str]:
    """The report formats."""
    from robustfl import registry

    return _fitting(registry.find("report"), incomplete)
