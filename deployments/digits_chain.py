"""Three deployments that start each other: prepare data, tune on it, train the best.

    python deployments/digits_chain.py
    prefect deployment run digits-prep/digits-prep

The first line serves them on this machine, without a work pool, the second starts the chain: the end of
`digits-prep` starts `digits-after-prep`, whose event `tune-flows.experiment.finished` starts `digits-final`.
"""

from prefect_yaml import serve

if __name__ == "__main__":
    serve("digits-prep", "digits-after-prep", "digits-final")
