"""Compiled parts of eigenvalue problems of up to a hundred rows or so, where LAPACK's way to begin costs most.

* :mod:`~robustfl.aggregation.kernels.spectra.tridiagonal` reduces a symmetric matrix to its diagonal and what is beside
  it, and brings vectors back.
* :mod:`~robustfl.aggregation.kernels.spectra.counting` finds eigenvalues of such a tridiagonal matrix by their rank.
* :mod:`~robustfl.aggregation.kernels.spectra.vectors` finds the eigenvectors that belong to them, and checks them.
* :mod:`~robustfl.aggregation.kernels.spectra.pairs` puts these together: the largest eigenpair, or the smallest ones.
* :mod:`~robustfl.aggregation.kernels.spectra.lockstep` has the vector operations behind them: what is done to one
  shift, one eigenvalue or one eigenvector is done to eight at a time.

All vectors have four or eight numbers whatever the processor, and no part uses threads or a BLAS.
"""
