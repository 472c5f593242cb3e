"""The record socket, from a connection's bytes up to the committer."""
