"""Properties that hold for several packages at once."""
