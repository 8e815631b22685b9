"""The arithmetic on blocks of columns, behind one protocol.

* :mod:`~robustfl.aggregation.kernels.base` is the protocol, :mod:`~robustfl.aggregation.kernels.choice` decides which
  version of it a matrix gets.
* The versions: :mod:`~robustfl.aggregation.kernels.host` in plain numpy, ``compiled_host`` in numba, ``device`` in
  torch and Triton for accelerators.
* The modules ``compiled_*`` and ``triton_*`` hold the kernels themselves. They load numba or Triton, so nothing here
  imports them before they are used.
"""
