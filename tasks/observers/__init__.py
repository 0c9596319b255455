"""Observers of the driver: what people see of a run while it works and when it has ended."""
