"""Interfaces to the operating system and the service manager."""
