"""`digits-pipeline`: prepare the data, tune, train the best, as one flow.

A worker of the pool runs it, or this file, without a pool: `python deployments/digits_pipeline.py`.
"""

from prefect_yaml import serve

if __name__ == "__main__":
    serve("digits-pipeline")
