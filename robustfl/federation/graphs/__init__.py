"""Families of graphs: the networks of peers that scenarios name, such as `ring` or `{regular: {degree: 8}}`.

Start here:

* :mod:`~robustfl.federation.graphs.contract` says what a family is. `draw(clients, rng)` gives its graph of so many
  peers, connected or not at all.
* ``fixed``: graphs without chance, such as `Ring`, `Torus`, `Hypercube`, `Exponential` and `Complete`.
* ``joined``: dense groups of peers with few edges between them, such as `TwoCliques`, `TwoWorlds` and `Dumbbell`.
* ``drawn``: random graphs, such as `Regular`, `ErdosRenyi`, `WattsStrogatz` and `RandomGeometric`.
* ``sampled``: `Sampled`, where everybody can reach everybody and a few do in each round.
* ``files``: `EdgeList`, a graph from a file of one's own.

A graph itself, weights for it and its spectrum are in :mod:`robustfl.graphs`.

>>> import numpy as np
>>> from robustfl import registry
>>> registry.build("topology", {"regular": {"degree": 4}}).draw(10, np.random.default_rng(0)).degree.tolist()
[4, 4, 4, 4, 4, 4, 4, 4, 4, 4]
"""

from .contract import GraphFamily as GraphFamily
from .drawn import ErdosRenyi as ErdosRenyi
from .drawn import RandomGeometric as RandomGeometric
from .drawn import Regular as Regular
from .drawn import WattsStrogatz as WattsStrogatz
from .files import EdgeList as EdgeList
from .fixed import Chain as Chain
from .fixed import Complete as Complete
from .fixed import Exponential as Exponential
from .fixed import Grid as Grid
from .fixed import Hypercube as Hypercube
from .fixed import OnePeerExponential as OnePeerExponential
from .fixed import Ring as Ring
from .fixed import Star as Star
from .fixed import Torus as Torus
from .joined import Dumbbell as Dumbbell
from .joined import TwoCastle as TwoCastle
from .joined import TwoCliques as TwoCliques
from .joined import TwoWorlds as TwoWorlds
from .sampled import Sampled as Sampled
