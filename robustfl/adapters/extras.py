"""What an adapter says where its framework is not installed."""

from __future__ import annotations

from robustfl.errors import MissingExtraError


def missing(framework: str, extra: str) -> MissingExtraError:
    """The error that says how to install a framework.

    >>> str(missing("Flower", "flower"))
    "This adapter needs Flower: pip install 'robustfl[flower]'."
    """
    return MissingExtraError(f"This adapter needs {framework}: pip install 'robustfl[{extra}]'.")
