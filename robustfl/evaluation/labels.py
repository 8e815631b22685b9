"""The words of stored results that several rooms of the evaluation share; records and summaries hold them."""

from __future__ import annotations

SCHEMA = 1
"""The version of the shape of results; a change that an older reader cannot follow raises it."""

NO_ATTACK = "none"
"""The label of the attack where all clients are honest."""

NOT_APPLICABLE = "not applicable"
"""The status of a cell that was never meant to be played, because its attack does not fit its defense or world."""
