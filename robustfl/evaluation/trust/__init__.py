"""The evaluation examines itself: which of its numbers should not be trusted, and why.

Start here:

* :mod:`~robustfl.evaluation.trust.evidence` holds the facts about attacks and defenses on which a score rests.
* :mod:`~robustfl.evaluation.trust.checks` examines them, attacks beside one another in ``comparisons``, and
  :mod:`~robustfl.evaluation.trust.status` decides how far the numbers of a defense can be trusted.
* ``repetition`` compares trials with those that are played again, and ``declaration`` tells what a wrong f costs.
* :mod:`~robustfl.evaluation.trust.remark` is one remark about results. ``remarks`` makes all of them, those about
  rounds in ``rounds`` and those about training without an attack in ``training``.
* ``explain`` and ``pages/`` tell people what each status and remark means and what to do.
"""
