"""Attacks that are made for networks of peers: each victim gets a letter of its own.

* :class:`Echo` sends the victim its own model, and :class:`Dissensus` pushes it away from its honest neighbours.
* :class:`Edge` stays just within the distance of honest neighbours, and :class:`Spectral` drives the two sides of the
  network apart. :class:`PeerWhiteBox` searches the distance that harms most, for all victims at once.
* :class:`StateOverride` sets the models of peers that average.
* :class:`Framing` tells peers that honest neighbours have doubles, for rules that listen to rumours.
* :class:`RandomUpdates` publishes updates that nobody has trained, for rules that remember these.
* :class:`ForeignClasses` is right in what its victim can judge, and wrong in everything else.
* :class:`InSteps` lets an attack on updates craft steps in place of models.
"""
