"""Data sets and how they are divided among clients.

* :mod:`~robustfl.federation.data.dataset` is what a data set is, :mod:`~robustfl.federation.data.data_sets` lists
  those that exist, :mod:`~robustfl.federation.data.partitions` divides one among clients.
* ``images`` and ``csv_tables`` are data in files of the user's, read by ``idx``, ``npz`` and ``cifar``; ``files``
  finds them.
"""
