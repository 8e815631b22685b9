"""Attacks on the updates that malicious clients send.

Start with `IPM`, the simplest one. Their contract is :class:`~robustfl.threats.UpdateAttack`. It is
:class:`~robustfl.threats.TiledAttack` for attacks in which all malicious clients send one vector. Each attack is in the
module that has its name in snake case.

Sanity checks, which need little knowledge:

* `SignFlip` sends the opposite of an honest update, and `Scaling` a multiple of it.
* `Gaussian` and `UniformNoise` send noise, and `Constant` and `NonFinite` one number or numbers that break arithmetic.
* `SignRandomising`, `ValueInverting` and `RandomRescaling` change the entries of the clients' own updates.
* `CorruptedGradient` and `DroppedCoordinates` are what failing memory and lossy links do.
* `FreeRider` does no work, and `Mimic` copies one honest client.

Attacks that stay near the honest updates:

* `IPM` sends the reversed honest mean, and `ALIE` shifts the mean by a few standard deviations.
* `MinMax` and `MinSum` go as far from the mean as the distances between honest updates allow.
* `SparseHybrid` goes far in the few coordinates that matter most.

Attacks that are made for one kind of rule:

* `FangKrum` (Krum), `FangTrimmedMean` (trimmed mean and median), `OneCoordinate` (rules that judge distances),
  `AntiCGE` (norm filters), `SignStatistics` (sign counts), `Geodesic` (clustering), `TrustCosine` (a trusted update)
  and `ROP` (centered clipping).

White-box attacks, which search through the actual defense:

* `WhiteBox` tries many candidates, and `ConsistentWhiteBox` does so in one direction for the whole run.
* `AGRTailored` goes as far along one direction as the rule follows.
* `OptALIE` and `OptIPM` are the line searches of other libraries, kept for comparison.

Attacks that push in the same direction for many rounds:

* `Drift`, `ConstantDirection`, `MPAF` and `PoisonedFL`.

Attacks that change how malicious clients train; a poisoning can stand before them:

* `ModelReplacement`, `PGDConstrained`, `Neurotoxin` and `AlternatingMinimisation` hide or boost a backdoor.
* `GradientAscent` increases the loss.
* `OmniscientLabelFlip` sends what honest clients would send on wrong labels.
"""
