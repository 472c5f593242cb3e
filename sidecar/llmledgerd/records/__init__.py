"""A line becomes a row. Pure."""
