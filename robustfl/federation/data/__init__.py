"""Data sets and how they are divided among clients.

Start here:

* :mod:`~robustfl.federation.data.dataset` says what a data set is; :mod:`~robustfl.federation.data.data_sets` lists the
  data sets that exist.
* :mod:`~robustfl.federation.data.partitions` divides a data set among clients; ``dealing`` is the contract of that.
* ``transferred`` hands clients features of frozen layers in place of images.
* ``images`` and ``csv_tables`` take data from files. ``files`` finds them, and ``idx``, ``npz`` and ``cifar`` read the
  formats of images; ``labels`` numbers the classes.
"""
