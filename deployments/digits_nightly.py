"""`digits-nightly`: tune the digits classifier every night, for an hour at most.

A worker of the pool runs it, or this file, without a pool: `python deployments/digits_nightly.py`.
"""

from prefect_yaml import serve

if __name__ == "__main__":
    serve("digits-nightly")
