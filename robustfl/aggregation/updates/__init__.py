"""The [n, d] update matrix: what the caller gave, and how rules read it.

* :mod:`~robustfl.aggregation.updates.layout` reads what the caller gave and gives the answer back in the same form.
* :mod:`~robustfl.aggregation.updates.readers` are the places from which columns come, block by block.
* :mod:`~robustfl.aggregation.updates.source` are the clean rows; :mod:`~robustfl.aggregation.updates.rows` is what a
  rule works with; :mod:`~robustfl.aggregation.updates.gram` holds the inner products of the rows.
* :mod:`~robustfl.aggregation.updates.coordinates` writes a few vectors in as many dimensions as there are vectors.
"""
