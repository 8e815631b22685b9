"""What goes wrong without malice: in the data, in computing, in messages, on the network."""
