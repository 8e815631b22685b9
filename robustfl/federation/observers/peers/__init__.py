"""What is measured in networks of peers without a server.

* ``accuracy``: how good the model of every honest peer is, and how far peers agree.
* ``letters``: what was sent over every edge, what was lost or refused, and whom rules ignore.
* ``places``: the network itself, and accuracy by the distance from malicious peers.
* ``presence``: the accuracy of those who still take part in the end.
* ``isolated``: what every peer reaches alone.
"""
