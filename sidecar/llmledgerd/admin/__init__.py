"""The admin HTTP server: ``/v1``, metrics and health, and who may ask for them."""
