"""The data types of tuning and the fold that computes the state from the journal: pure functions.

No I/O, no clock, no global randomness. Nothing here depends on Ray, Prefect or a storage.
"""
