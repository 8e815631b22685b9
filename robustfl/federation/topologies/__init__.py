"""Who hears whom, and who owns a model.

* :mod:`~robustfl.federation.topologies.contract` is what a topology is.
* :mod:`~robustfl.federation.topologies.server` is the topology with one server. It is put together of a schedule, which
  says who is heard when (``schedules``, ``asynchronous``), and an ownership, which says who has which model
  (``ownership`` for one common model, ``rewards`` for models of the clients' own).
"""
