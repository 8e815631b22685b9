"""Faults: what goes wrong without malice, for honest and malicious clients alike.

Start with `Dropout`, the simplest one. Their contract is :class:`~robustfl.threats.Fault`.

In the data:

* ``label_noise``: `LabelNoise` makes some labels wrong by accident.
* ``feature_noise``: `FeatureNoise` makes features noisy, or normalises them in a wrong way.
* ``duplicate_samples``: `DuplicateSamples` makes some samples appear many times.
* ``empty_client``: `EmptyClient` leaves clients without samples, or with samples of a few classes only.

In the model that clients compute with:

* ``stale``: `Stale` clients compute with the model of some rounds ago.

In messages:

* ``awgn``: `AWGN` adds the noise of a radio channel.
* ``bit_flip``: `BitFlip` flips single bits.
* ``compress``: `Compress` loses information by compression.
* ``nan_client``: `NaNClient` sends NaN, or messages that are much too long.
* ``replay``: `Replay` sends old messages again.

On the network:

* ``dropout``: `Dropout` loses single messages.
* ``crash``: `Crash` stops machines for a round or for good.
* ``churn``: `Churn` lets clients leave and come back.
* ``straggler``: `Straggler` makes slow clients miss the deadline.
* ``partial``: `Partial` gives each client its own probability to take part.
* ``out_of_order``: `OutOfOrder` delivers messages late, and some of them twice.
* ``duplicate_client``: `DuplicateClient` counts the messages of some clients twice.
"""
