"""A complete pipeline on one machine: prepare data, tune, train the final model, report.

    python -m tune_flows.examples.pipeline

`digits_pipeline` runs the three flows as subflows. `prefect.yaml` also deploys them separately, as a chain:
the end of `prepare` starts `tune` on the data that it wrote, the event `tune-flows.experiment.finished`
starts `train_final` with the result.
"""

import os
from typing import Any

if __name__ == "__main__":  # before Prefect is imported: a demo on one machine sends no telemetry
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ.setdefault("DO_NOT_TRACK", "1")

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import BaseModel, Field

from tune_flows import TuneResult, choice, loguniform, randint, tune, with_parameters
from tune_flows.examples.digits import DigitsClassifier, read_data, split_digits
from tune_flows.examples.lineage import dataset_prepared, model_trained, producing
from tune_flows.schedulers import ASHAScheduler
from tune_flows.search import RandomSearch

__all__ = ["FinalModel", "digits_pipeline", "prepare", "train_final"]

EPOCHS = 27


class FinalModel(BaseModel):
    """Result of the pipeline."""

    url: str = Field(description="Of the model, a joblib file.")
    accuracy: float = Field(description="On the test split, 0 to 1.")
    result: TuneResult = Field(description="The experiment that it comes from.")


@flow(name="digits-prep")
def prepare(storage_path: str | None = None, seed: int = 0) -> State[str]:
    """Split the digits into Parquet files on the storage.

    Args:
        storage_path: Folder or URL; None: where `tune` stores its experiments by default.
        seed: Seed of the split; the same seed gives the same files in the same place.

    Returns:
        The URL of their folder. It is also the message of the run's final state, where the trigger of
        another deployment reads it.
    """
    from tune_flows.store import ObjectStore, resolve_storage, write_table

    store = ObjectStore(f"{resolve_storage(storage_path)}/digits-data-{seed}")

    @producing(store.url)
    def write_splits() -> dict[str, int]:
        frames = split_digits(seed)
        for split, frame in frames.items():
            write_table(store, f"{split}.parquet", frame)
        return {split: len(frame) for split, frame in frames.items()}

    dataset_prepared(store.url, rows=write_splits())
    return Completed(message=store.url, data=store.url)


@flow(name="digits-final")
def train_final(result: TuneResult, data: str | None = None, epochs: int = EPOCHS) -> FinalModel:
    """Train the best configuration on the train and validation splits, test and store the model.

    Args:
        result: What `tune` returned, in this process or another.
        data: Folder with the splits; None: the data that the trials used.
        epochs: Number of epochs to train.
    """
    from tune_flows.store import ObjectStore

    if result.best_config is None:
        raise ValueError(f"result: {result.experiment_url} has no usable trial: {result.errors}")
    config = result.best_config | ({"data": data} if data else {})
    storage, _, name = result.experiment_url.rpartition("/")
    store = ObjectStore(f"{storage}/models")
    sources = [result.experiment_url, *([config["data"]] if "data" in config else [])]

    @producing(store.url_of(f"{name}.joblib"), *sources)
    def fit() -> float:
        model, accuracy = _fitted(config, epochs)
        store.put(f"{name}.joblib", model)
        return accuracy

    model = FinalModel(url=store.url_of(f"{name}.joblib"), accuracy=fit(), result=result)
    model_trained(model.url, result=result, data=config.get("data"), accuracy=model.accuracy)
    return model


@flow(name="digits-pipeline")
def digits_pipeline(
    storage_path: str | None = None, num_samples: int = 24, in_memory: bool = False
) -> FinalModel:
    """Prepare the digits, tune a classifier on them, train it with the best configuration.

    Args:
        storage_path: Folder or URL; None: where `tune` stores its experiments by default.
        num_samples: Number of trials.
        in_memory: Whether trials get the data as frames, through Ray's object store, instead of its URL.
    """
    data: Any = prepare(storage_path)
    frames = {split: read_data({"data": data}, split) for split in ("train", "validation")}
    result = tune(
        with_parameters(DigitsClassifier, **frames) if in_memory else DigitsClassifier,
        param_space={
            **({} if in_memory else {"data": data}),
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
    return train_final(result, data=data)


def _fitted(config: dict[str, Any], epochs: int) -> tuple[bytes, float]:
    """Return a trained model as a joblib file, and its accuracy on the test split."""
    import io

    import joblib
    import pandas as pd

    trainable = DigitsClassifier()
    both = pd.concat([read_data(config, "train"), read_data(config, "validation")])
    trainable.setup(config, train=both, validation=read_data(config, "test"))
    metrics = [trainable.step() for _ in range(epochs)]
    file = io.BytesIO()
    joblib.dump(trainable.model, file)
    return file.getvalue(), metrics[-1]["accuracy"]


def main() -> None:
    """Run the pipeline and print its result."""
    model = digits_pipeline()
    result = model.result
    tables = f"{result.experiment_url}/trials.parquet"
    print("best config")
    for name, value in (result.best_config or {}).items():
        print(f"    {name:14} {value}")
    print(f"test accuracy       {model.accuracy:.4f} (in its trial, on validation: {result.best_value:.4f})")
    print(f"model at            {model.url}")
    print(f"experiment at       {result.experiment_url}")
    print(f"look at it with     pandas.read_parquet({tables!r}), results.parquet beside it,")
    print("                    and in the Prefect UI: prefect server start")


if __name__ == "__main__":
    main()
