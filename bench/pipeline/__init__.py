"""From the socket to the stored row, beside what else could stand there: ``python -m bench.pipeline``."""
