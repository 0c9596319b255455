"""`digits-continued`: go on with one large experiment every night, for four hours, until it has ended.

A worker of the pool runs it, or this file, without a pool: `python deployments/digits_continued.py`.
"""

from prefect_yaml import serve

if __name__ == "__main__":
    serve("digits-continued")
