"""Sealed segments into stores: batches, retries, settlement, eviction."""
