"""Who hears whom, and who owns a model.

Start here:

* :mod:`~robustfl.federation.topologies.contract` says what a topology is.
* :mod:`~robustfl.federation.topologies.server` is the topology with one server. It consists of a schedule, which says
  who is heard when (``schedules``, ``asynchronous``), and of an ownership, which says who has which model
  (``ownership`` for one common model, ``rewards`` and ``distilled`` if each client has its own model).
"""
