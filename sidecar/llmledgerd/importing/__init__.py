"""Records that exist already, sent again: files, and dead letters."""
