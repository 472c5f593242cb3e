"""The catalog of metrics, and the model of the daemon's status."""
