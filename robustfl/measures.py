"""What a measure is: a named number of a record, with its unit and the direction in which it is good.

Whoever measures something declares it once, as a :class:`Measure`. The schema of records, the columns of tables,
``robustfl describe``, the readings of claims and the rows of reports are made from these declarations.

>>> Measure("worst_class", "test accuracy on the class that the model serves worst", unit="share").form
'number'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Measure:
    """A number that records of trials hold.

    Attributes
    ----------
    name : the key in the record's ``metrics.more``, and the name in claims: ``more(rule, name)``
    doc : what it says, in one line
    unit : "share" (between 0 and 1), "rounds", "rows", "bytes", "steps", ...; empty for a number without one
    better : whether larger or smaller values are good for the honest clients; None where neither is
    form : what the record holds: a number, a list of numbers (one for each client or measurement), numbers by name, a
        text, texts, or a flag (true or false); a value that is not defined in a trial is absent or None
    """

    name: str
    doc: str
    unit: str = ""
    better: Literal["higher", "lower"] | None = None
    form: Literal["number", "list", "by name", "text", "texts", "flag"] = "number"
