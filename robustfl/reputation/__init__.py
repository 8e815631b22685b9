"""Who is trusted and why: reputations of clients, and a ledger of decisions in which every change can be detected.

The room holds two things: scores that a reputation is computed from, and the file that proves what was decided. A
newcomer starts with the example below.

* :class:`Decision` is what a rule with a reputation decided about one client in one round. Such rules put their
  decisions into ``Aggregation.info["decisions"]``.
* :class:`Ledger` appends decisions to a file, in which each entry is chained to the entry before it by a hash.
* :func:`verify` (the command ``robustfl verify``) finds every entry that was altered, removed, inserted or moved, and
  says where: its :class:`LedgerVerdict` lists each :class:`Damage`. :func:`read_entries` reads the entries of a ledger.
* :class:`LedgerRecorder` follows a rule over many rounds and records only what changes. A run leaves such a ledger for
  each trial.
* :class:`FeedbackGraph` and :func:`merit_scores` are the MeritRank method: the scores come from random walks over a
  graph of who gave feedback to whom, and an adversary gains only a bounded amount from having many identities.
* :func:`exact_visits` and :func:`walked_visits` compute which nodes such walks meet (as :class:`Visits`), and
  :func:`expected_visits` how often.

A rule itself writes no file: the code that runs the rounds records the decisions.

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
