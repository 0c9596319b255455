"""Observers of the driver: they show a run to people while it works and when it has ended."""
