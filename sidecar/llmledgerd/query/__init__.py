"""Queries, independent of any store: requests, results, routes and display."""
