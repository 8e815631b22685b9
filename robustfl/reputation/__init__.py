"""Who is trusted, why, and proof of it: reputations, and a ledger that cannot be changed unnoticed.

* :class:`Decision` is what a rule with a reputation decided about one client; such rules put theirs into
  ``Aggregation.info["decisions"]``.
* :class:`Ledger` appends decisions to a file, each chained by a hash to the one before; :func:`verify` (the command
  ``robustfl verify``) finds any entry that was altered, removed, inserted or moved, and says where.
* :class:`LedgerRecorder` follows a rule over its rounds and keeps what changes: the ledger that a run leaves of each
  trial.
* :class:`FeedbackGraph` and :func:`merit_scores` are MeritRank: scores from random walks over who gave whom feedback,
  of which an adversary gains no more than a bounded amount by having many identities.
* :func:`exact_visits` and :func:`walked_visits` say which nodes such walks meet, :func:`expected_visits` how often.

A rule holds no file: whoever runs the rounds records what the rule told.

>>> import tempfile
>>> from pathlib import Path
>>> from robustfl.defenses import FoolsGold
>>> rule, path = FoolsGold(), Path(tempfile.mkdtemp()) / "ledger.jsonl"
>>> answer = rule.aggregate({"anna": [1.0, 0.0], "sybil 1": [0.0, 1.0], "sybil 2": [0.0, 1.0]})
>>> with Ledger(path) as ledger:
...     head = ledger.record(1, rule, answer)
>>> verdict = verify(path, head=head)
>>> verdict.intact, verdict.entries
(True, 3)
"""

from robustfl.reputation.decisions import Decision
from robustfl.reputation.ledger import Ledger
from robustfl.reputation.merit_rank import FeedbackGraph, merit_scores
from robustfl.reputation.recorder import LedgerRecorder
from robustfl.reputation.verification import Damage, LedgerVerdict, read_entries, verify
from robustfl.reputation.visits import Visits, exact_visits, expected_visits, walked_visits

__all__ = [
    "Damage",
    "Decision",
    "FeedbackGraph",
    "Ledger",
    "LedgerRecorder",
    "LedgerVerdict",
    "Visits",
    "exact_visits",
    "expected_visits",
    "merit_scores",
    "read_entries",
    "verify",
    "walked_visits",
]
