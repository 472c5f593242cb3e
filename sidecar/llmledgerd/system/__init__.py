"""The operating system and the service manager."""
