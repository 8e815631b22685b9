"""What sections are made of: the contract, the results as they are read, blocks, tables, figures, and words.

* :class:`Section` and :class:`Content`: one subject of a report, and what it shows
* :class:`Run` and :class:`World`: the results as sections read them
* :class:`Table` of :class:`Column` and :class:`Row`: values with their meaning; :class:`Sheet` is for spreadsheets
* :class:`Note`, :class:`Facts`, :class:`Findings` and the other blocks; :class:`Detailed` is for long content
* :class:`Drawing`: shapes with a meaning; :class:`~.figures.Frame` computes their coordinates from values
* :mod:`.wording`: numbers and labels in words
"""

from .blocks import Behind as Behind
from .blocks import Block as Block
from .blocks import Bullets as Bullets
from .blocks import Card as Card
from .blocks import Cards as Cards
from .blocks import Code as Code
from .blocks import ColourKey as ColourKey
from .blocks import Definitions as Definitions
from .blocks import Detailed as Detailed
from .blocks import Facts as Facts
from .blocks import Finding as Finding
from .blocks import Findings as Findings
from .blocks import Fold as Fold
from .blocks import Line as Line
from .blocks import Note as Note
from .blocks import Preformatted as Preformatted
from .blocks import Rich as Rich
from .blocks import Strong as Strong
from .blocks import Tab as Tab
from .blocks import Tabs as Tabs
from .drawings import Box as Box
from .drawings import Circle as Circle
from .drawings import Drawing as Drawing
from .drawings import Figure as Figure
from .drawings import Gallery as Gallery
from .drawings import Group as Group
from .drawings import Path as Path
from .drawings import Shape as Shape
from .drawings import Words as Words
from .reading import Records as Records
from .reading import Run as Run
from .reading import Values as Values
from .reading import World as World
from .section import Content as Content
from .section import Section as Section
from .tables import ACCURACY as ACCURACY
from .tables import BAR as BAR
from .tables import CODE as CODE
from .tables import COUNT as COUNT
from .tables import DURATION as DURATION
from .tables import INTERVAL as INTERVAL
from .tables import INTERVAL_OR_WORDS as INTERVAL_OR_WORDS
from .tables import LABEL as LABEL
from .tables import LOSS as LOSS
from .tables import NUMBER as NUMBER
from .tables import PERCENT as PERCENT
from .tables import SIZE as SIZE
from .tables import TEXT as TEXT
from .tables import UTILITY as UTILITY
from .tables import Cell as Cell
from .tables import Column as Column
from .tables import Form as Form
from .tables import Row as Row
from .tables import Sheet as Sheet
from .tables import Span as Span
from .tables import Table as Table
from .tables import ends as ends
from .tables import labelled as labelled
from .tables import labels as labels
