"""`digits-adhoc`: tune the digits classifier when asked to, with any parameter changed for the run.

    prefect deployment run tune/digits-adhoc -p num_samples=30 -p 'scheduler={"type": "fifo"}'

A worker of the pool runs it, or this file, without a pool: `python deployments/digits_adhoc.py`.
"""

from prefect_yaml import serve

if __name__ == "__main__":
    serve("digits-adhoc")
