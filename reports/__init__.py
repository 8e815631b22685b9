"""How results are shown; each report format is one file with one class.

* :class:`HTML`: ``report.html``, one self-contained page with everything: ranking, heat maps, curves, every trial
* :class:`Markdown`: ``report.md``, the answer and its tables for issues and pull requests
* :class:`CSV`: ``scores.csv``, a row a world, defense, number of malicious clients and attack
* :class:`Leaderboard`: ``leaderboard.md``, who withstands a standard suite of attacks, where the suite has one
* :class:`TargetedCSV`: ``targeted.csv``, a row an attack with an aim, where there are any
* :class:`FaultsCSV`: ``faults.csv``, a row a fault, where the suite tries them one at a time
* :class:`ClaimsCSV`: ``claims.csv``, a row a claim that the suite makes, where it makes any

They share their words and number formats (:mod:`~robustfl.reports.wording`), so that all say the same. A new format
is a :class:`~robustfl.evaluation.results.reporting.ReportFormat` in a file here, and a line below.
"""

from .claims_csv import ClaimsCSV as ClaimsCSV
from .csv_table import CSV as CSV
from .faults_csv import FaultsCSV as FaultsCSV
from .html import HTML as HTML
from .leaderboard import Leaderboard as Leaderboard
from .markdown import Markdown as Markdown
from .targeted_csv import TargetedCSV as TargetedCSV
