"""Conversion of a line into a row. Pure."""
