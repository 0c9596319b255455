"""The vocabulary of tuning and the fold over what happened: values in, values out.

No I/O, no clock, no global randomness. Nothing here knows of Ray, Prefect or a storage.
"""
