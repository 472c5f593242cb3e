"""Kinds of store, each in its own package, and what they have in common."""
