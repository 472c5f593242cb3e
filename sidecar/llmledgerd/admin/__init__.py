"""Admin HTTP server: ``/v1``, metrics, health checks and their authorization."""
