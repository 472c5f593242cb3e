"""The kinds of store, each in a package of its own; what all have in common."""
