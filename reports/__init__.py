"""How results are shown; each report format is one file with one class.

* :class:`HTML`: ``report.html``, one self-contained page with everything: ranking, heat maps, curves, every trial
* :class:`Markdown`: ``report.md``, the answer and its tables for issues and pull requests
* :class:`CSV`: ``scores.csv``, a row a world, defense, number of malicious clients and attack
* :class:`Leaderboard`: ``leaderboard.md``, who withstands a standard suite of attacks, where the suite has one
* :class:`ClaimsCSV`: ``claims.csv``, a row a claim that the suite makes, where it makes any

They share their words and number formats (:mod:`~robustfl.reports.wording`), so that all say the same. A new format
is a :class:`~robustfl.evaluation.reporting.ReportFormat` in a file here, and a line below.
"""

from .claims_csv import ClaimsCSV as ClaimsCSV
from .csv_table import CSV as CSV
from .html import HTML as HTML
from .leaderboard import Leaderboard as Leaderboard
from .markdown import Markdown as Markdown
