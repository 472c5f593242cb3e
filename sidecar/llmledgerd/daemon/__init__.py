"""The composition root: every component made, wired together, started and stopped."""
