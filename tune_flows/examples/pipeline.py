"""A whole pipeline on one machine: prepare data, tune, train the final model, report.

python -m tune_flows.examples.pipeline
"""

import os
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before Prefect is imported: a demo on one machine sends no telemetry
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow, task

from tune_flows import TuneResult, choice, loguniform, randint, tune
from tune_flows.examples.digits import DigitsClassifier, read_split, split_digits
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import RandomSearch

__all__ = ["digits_pipeline", "prepare", "train_final"]

EPOCHS = 27


@task
def prepare(folder: str, *, seed: int = 0) -> dict[str, str]:
    """Split the digits into two Parquet files below `folder`; their paths by the name of the split."""
    if "://" not in folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
    paths: dict[str, str] = {}
    for split, part in split_digits(seed).items():
        paths[split] = f"{folder}/{split}.parquet"
        part.to_parquet(paths[split], index=False)
    return paths


@task
def train_final(result: TuneResult, epochs: int = EPOCHS) -> float:
    """Train with the best configuration; the accuracy on the validation split (0 to 1)."""
    if result.best_config is None:
        raise ValueError(f"{result.experiment_url} has no usable trial: {result.errors}")
    model = DigitsClassifier()
    model.setup(result.best_config)
    for _ in range(epochs):
        model.step()
    return model.model.score(*read_split(result.best_config, "validation"))


@flow
def digits_pipeline(storage_path: str | None = None, num_samples: int = 24) -> dict[str, Any]:
    """Prepare the digits, tune a classifier on them, train it with the best configuration."""
    from tune_flows.store import resolve_storage

    paths = prepare(f"{resolve_storage(storage_path)}/digits-data")
    result = tune(
        DigitsClassifier,
        param_space={
            **paths,
            "seed": 0,
            "learning_rate": loguniform(1e-4, 1e-1),
            "alpha": loguniform(1e-6, 1e-1),
            "hidden": randint(16, 129),
            "batch_size": choice([16, 32, 64, 128]),
            "activation": choice(["relu", "tanh"]),
        },
        metric="accuracy",
        mode="max",
        num_samples=num_samples,
        search_alg=RandomSearch(seed=7),
        scheduler=ASHAScheduler(max_t=EPOCHS, grace_period=1, reduction_factor=3),
        storage_path=storage_path,
    )
    return {"result": result, "accuracy": train_final(result)}


def main() -> None:
    """Run the pipeline and say what came out of it."""
    found = digits_pipeline()
    result: TuneResult = found["result"]
    tables = f"{result.experiment_url}/trials.parquet"
    print("best config")
    for name, value in (result.best_config or {}).items():
        print(f"    {name:14} {value}")
    print(f"validation accuracy {found['accuracy']:.4f} (in its trial: {result.best_value:.4f})")
    print(f"experiment at       {result.experiment_url}")
    print(f"look at it with     pandas.read_parquet({tables!r}), results.parquet beside it,")
    print("                    and in the Prefect UI: prefect server start")


if __name__ == "__main__":
    main()
