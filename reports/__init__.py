"""How results are shown: what a report says, subject by subject, and the formats that lay it out.

The content is in :mod:`~robustfl.reports.sections`, one subject per file. The formats know no section by name:

* :class:`HTML`: ``report.html``, one self-contained page with everything: ranking, heat maps, curves, every trial
* :class:`Markdown`: ``report.md``, the answer and its tables for issues and pull requests
* :class:`Spreadsheets`: ``scores.csv`` and other tables of values, one file for each section that has values
* :class:`Latex`: ``ranking.tex``, the ranking as tables for a paper
* :class:`Figures`: figures for a paper as SVG and PDF, drawn by matplotlib; only made when asked for
* :class:`Consortium`: ``consortium.md``, a document for partners who decide together, with blanks for what only people
  can say; only made when asked for
* :class:`Leaderboard`: ``leaderboard.md``, the defenses that withstand a standard suite of attacks, if there is one

A new subject is a file in ``sections/`` and a line in its list. A new format is a
:class:`~robustfl.evaluation.results.reporting.ReportFormat` in a file here, and a line below.
"""

from .consortium import Consortium as Consortium
from .figures import Figures as Figures
from .html import HTML as HTML
from .latex import Latex as Latex
from .leaderboard import Leaderboard as Leaderboard
from .markdown import Markdown as Markdown
from .spreadsheets import Spreadsheets as Spreadsheets
