"""The simulated world of peers that learn without a server.

Start here:

* ``network`` is who hears whom in a simulation, who in it is malicious, and what rules are told about that; ``hearing``
  puts neighbourhoods into arrays.
* ``topology`` is a round of peers: they train, malicious ones write letters, and all honest ones mix at once.
* ``sampled`` is a round in which few take part, and hand one model on to the next few; ``sampling`` is who they are.
* ``forging`` is what malicious peers write.
* ``trying`` is what peers find out by trying models on samples of their own.
* ``fitting`` says what peers cannot be combined with, and ``watching`` who watches them.
"""
