"""Trials on several machines: `--executor ray`, `--executor submitit`, and what other distributions bring.

* ``contract`` says what a cluster has to do, and what is told of it.
* ``retrying`` plays jobs on any cluster: how many at once, what is tried again, and when a run stops.
* ``working`` is what a worker does: a pure function from a trial to its record and the files that come with it.
* ``probing`` compares the code, the versions and the data of a machine with those of the driver.
* ``reaching`` asks whether a cluster answers at an address.
* ``ray`` and ``submitit`` are the two clusters; ``choosing`` finds executors by name.

Only the driver holds the store, its lock and the progress. A lost worker or machine costs the trials that it played,
and nothing else.
"""
