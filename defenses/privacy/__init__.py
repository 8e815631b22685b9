"""Mechanisms: privacy as the first stage of a pipeline, before the rule that makes one update of many.

A mechanism declares which noise goes where; a federation carries it out, and stores with every trial what was released
and what it costs against each observer. In a scenario:

    defenses:
      - [{dp_fed_avg: {clip: 0.3, target_epsilon: 2, delta: 1e-3}}, mean]

* :class:`DPFedAvg` protects clients by noise that the server adds.
* :class:`DPSGD` protects single examples by noise in each local step of a client.
* :class:`LocalDP` lets each client add all of the noise to its message; :class:`SecureSumDP` a share of it.
"""

from .dp_fed_avg import DPFedAvg as DPFedAvg
from .dp_sgd import DPSGD as DPSGD
from .local_dp import LocalDP as LocalDP
from .secure_sum_dp import SecureSumDP as SecureSumDP
