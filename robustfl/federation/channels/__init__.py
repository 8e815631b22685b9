"""What a message is: the channels in which clients and servers talk."""
