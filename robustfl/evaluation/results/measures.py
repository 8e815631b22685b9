"""The measures that records may hold in addition to accuracy and loss, as the observers have declared them.

Everything that has to know their names asks here: the shape of records, the columns of tables, the commands
``robustfl list measures`` and ``robustfl describe``, and the values ``more(defense, name)`` of claims.

>>> known_measures()["worst_class"].unit
'share'
"""

from __future__ import annotations

from functools import cache

from robustfl.measures import Measure


@cache
def known_measures() -> dict[str, Measure]:
    """All measures by name, in the order in which tables show them."""
    from robustfl.federation.observers import declared_measures

    return declared_measures()


def numbers() -> tuple[str, ...]:
    """The names of the measures that are one number per trial, so that a column can hold their means."""
    return tuple(name for name, measure in known_measures().items() if measure.form == "number")
