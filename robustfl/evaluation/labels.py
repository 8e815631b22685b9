"""The words of stored results that several rooms of the evaluation share; records and summaries hold them."""

from __future__ import annotations

SCHEMA = 1
"""The version of the shape of results; a change that an older reader cannot follow raises it."""

NO_ATTACK = "none"
"""The label of the attack where all clients are honest."""

ACCURACIES = {"balanced_accuracy": "balanced accuracy", "plain_accuracy": "accuracy", "macro_f1": "macro F1"}
"""The measures of records from which a score can be made, by name, with the words for them."""

PLAIN_ACCURACY = "plain_accuracy"
"""The measure of scores that do not say from which one they were made, as those of older versions."""

NOT_APPLICABLE = "not applicable"
"""The status of a cell that was never meant to be played, because its attack does not fit its defense or world."""

MOST_LISTED = 1000
"""The largest number of clients that a record lists, and whose data a summary shows."""
