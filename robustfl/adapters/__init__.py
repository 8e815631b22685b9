"""Rules inside the frameworks that people use, and functions of other libraries as rules.

Into a framework; each module needs its framework, and nothing else imports it:

* :mod:`robustfl.adapters.flower`: `RobustStrategy` for Flower's message API, `LegacyRobustStrategy` for the older one
* :mod:`robustfl.adapters.pfl`: `RobustPostprocessor` for pfl-research
* :mod:`robustfl.adapters.nvflare`: `RobustAggregator` for NVFlare
* :mod:`robustfl.adapters.ddp` and :mod:`robustfl.adapters.fsdp`: the reduction of gradients in torch

Functions of other libraries as parts:

* :class:`FromFunction` makes a defense of any function from rows to one row, such as an aggregator of another library
* :class:`AttackFromFunction` makes an attack of a function

Behind the adapters of frameworks stands a :class:`robustfl.server.RobustServer`: what was sent is the template, a reply
that does not fit is refused by name and reason, who answers first changes nothing, and what clients declare (numbers of
examples, metrics) is never a weight.

>>> from robustfl.adapters.declared import medians
>>> medians([{"loss": 0.5}, {"loss": 0.7}, {"loss": -1e9, "boast": 1.0}])
{'loss': 0.5}
"""

from robustfl.aggregation.function import FromFunction
from robustfl.threats.updates.function import AttackFromFunction

__all__ = ["AttackFromFunction", "FromFunction"]
