"""The arithmetic on blocks of columns, behind one protocol.

A newcomer starts with :mod:`~robustfl.aggregation.kernels.base`, which lists the operations that rules may use.

* :mod:`~robustfl.aggregation.kernels.base` is the protocol, and :mod:`~robustfl.aggregation.kernels.choice` decides
  which version of it a matrix gets.
* The three versions are :mod:`~robustfl.aggregation.kernels.host` in plain numpy, ``compiled_host`` in numba, and
  ``device`` in torch and Triton, for accelerators.
* ``compiled`` holds the numba passes over blocks. It is built from ``compiled_order`` (order statistics),
  ``compiled_geometry`` (sums), ``compiled_products`` (inner products) and ``compiled_vectors`` (the vector operations).
  ``compiled_gram`` and ``compiled_spectrum`` hold the loops of rules over a small Gram and its eigenpairs, which the
  package ``spectra`` finds. ``compiling`` makes functions kernels, whatever happens to their cache.
* ``torch_order``, ``triton_order`` and ``triton_sums`` hold the passes on accelerators; ``triton_launch`` starts
  Triton kernels.
* ``sorting_networks`` makes the comparator networks, ``chunks`` works through a block in pieces, and ``threads`` works
  on several blocks at the same time.

The modules ``compiled*``, ``compiling``, ``torch_order``, ``device`` and ``triton_*`` and the package ``spectra`` load
numba, torch or Triton, so nothing imports them before they are used.
"""
