"""Scenes with PostgreSQL, a pooler and object storage, each with the books checked at its end."""
