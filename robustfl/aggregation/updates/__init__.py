"""The [n, d] update matrix: what the caller gave, and how rules read it.

Authors of rules need two classes: :class:`~robustfl.aggregation.updates.rows.Rows`, the rows that a rule works on, and
:class:`~robustfl.aggregation.updates.gram.Gram`, the inner products between them. The modules, in the order in which a
call passes through them:

* :mod:`~robustfl.aggregation.updates.layout` reads what the caller gave and returns the answer in the same form.
  :mod:`~robustfl.aggregation.updates.parsing` reads one client's entry into
  :mod:`~robustfl.aggregation.updates.leaves`, or says why it cannot; :mod:`~robustfl.aggregation.updates.ids` says
  whose it is, and :mod:`~robustfl.aggregation.updates.beside` what no distance is about.
* :mod:`~robustfl.aggregation.updates.readers` deliver the columns, block by block, from memory, files or streams.
* :mod:`~robustfl.aggregation.updates.source` makes every pass over the columns, and finds hostile rows on the way.
* :mod:`~robustfl.aggregation.updates.rows` is the matrix that a rule sees, possibly after pre-aggregations.
* :mod:`~robustfl.aggregation.updates.division` makes sources of groups of columns, such as layers.
* :mod:`~robustfl.aggregation.updates.gram` answers questions about distances and inner products.
* :mod:`~robustfl.aggregation.updates.coordinates` expresses a few long vectors in a space of few dimensions, with the
  same distances and inner products.
"""
