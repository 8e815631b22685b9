"""What clients compute: one path for honest, malicious, trusted and relabelled training.

Start here:

* :mod:`~robustfl.federation.clients.work` is this path; ``training`` computes gradients and local steps,
  and ``sharpness`` where gradients of sharpness-aware steps are computed. The steps of ``fully_connected`` and plain
  ``convolutional`` networks are written out.
* :mod:`~robustfl.federation.clients.participants` says who takes part, with which samples and under which names.
* ``hardening`` changes the batches of clients by adversarial training and by the ``augmentation`` of images.
* ``poisoning`` changes the batches of malicious clients, and ``attackers`` are clients that train in their own way.
* ``trusted`` holds the clean samples of the server.
"""
