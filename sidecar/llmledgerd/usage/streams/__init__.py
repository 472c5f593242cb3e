"""Streamed answers made whole: the parts that every provider's streams share."""
