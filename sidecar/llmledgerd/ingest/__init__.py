"""Record socket: from the bytes of a connection to the committer."""
