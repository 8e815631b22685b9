"""What observers see of clients, and how well attacks on privacy guess it.

* ``plan``: `Spying` says who watches, with which attacks, in which rounds, and how many clients.
* ``gathering``: what the observer of a simulation sees, and the samples behind it, kept apart.
* ``matching``: how close reconstructions come to the samples: pairs, PSNR, SSIM, and who is recognised.
* ``judging``: the measures of one attack, with the controls that a number needs to mean anything.

:class:`robustfl.federation.observers.leakage.Leakage` is the observer that uses them.
"""
