"""One module for each API: its usage object, its stream, its hosts."""
