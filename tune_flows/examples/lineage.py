"""Data lineage in Prefect: events with related resources, assets, and artifacts with links.

Dataset, experiment and model have their URLs as stable ids, by which the events of any run about one of them
can be found, together with the `tune-flows.experiment.*` events of `tune` itself.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import task
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.assets import Asset, materialize
from prefect.events import emit_event
from prefect.settings import PREFECT_UI_URL
from pydantic import ValidationError

from tune_flows import TuneResult
from tune_flows.tasks.observers.events import About, asset_key

__all__ = ["DATA_KEY", "MODEL_KEY", "dataset_prepared", "model_trained", "producing"]

P = ParamSpec("P")
R = TypeVar("R")

DATA_KEY = "digits-data"
"""Key of the artifact that links to the newest data; its page shows the earlier ones too."""
MODEL_KEY = "digits-model"
"""Key of the artifact that describes the newest model."""


def producing(location: str, *sources: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator for a task that makes the asset at `location` from those at `sources`.

    Prefect's rules for asset keys forbid some locations, such as those with a space: then it is a plain task.
    """
    try:
        made, *of = [Asset(key=asset_key(place)) for place in (location, *sources)]
    except ValidationError:
        return lambda function: task(function)
    return lambda function: materialize(made, asset_deps=[*of])(function)


def dataset_prepared(url: str, *, rows: dict[str, int]) -> None:
    """Emit an event that there is data at `url`, and create an artifact that links to it."""
    emit_event(
        "tune-flows.dataset.prepared",
        resource={"prefect.resource.id": asset_key(url), "prefect.resource.name": url},
        payload={"url": url, "rows": rows},
    )
    text = ", ".join(f"{count} rows {split}" for split, count in rows.items())
    create_link_artifact(asset_key(url), link_text=url, key=DATA_KEY, description=f"Digits: {text}.")


def model_trained(url: str, *, result: TuneResult, data: str | None, accuracy: float) -> None:
    """Emit an event about the model at `url` and its origin, and create an artifact that shows both."""
    about = About(result.experiment_url, {"data": data})
    trial = about.trial(result.best_trial_id or "") | {"prefect.resource.role": "trial"}
    emit_event(
        "tune-flows.model.trained",
        resource={"prefect.resource.id": asset_key(url), "prefect.resource.name": url},
        related=[about.related_experiment(), trial, *about.data],
        payload={"url": url, "accuracy": accuracy, "config": result.best_config},
    )
    create_markdown_artifact(
        _model_page(url, result, data, accuracy), key=MODEL_KEY, description="The newest digits classifier"
    )


def _model_page(url: str, result: TuneResult, data: str | None, accuracy: float) -> str:
    ui = PREFECT_UI_URL.value() or ""
    rows = {
        "model": f"`{url}`",
        "accuracy on the test split": f"{accuracy:.4f}",
        f"{result.metric} in its trial": f"{result.best_value}",
        "best of": f"`{result.best_trial_id}`, {sum(result.num_trials.values())} trials",
        "experiment": f"`{result.experiment_url}`",
        "data": f"[`{data}`]({ui}/artifacts/key/{DATA_KEY})" if data else "given in memory",
        **{f"config: {name}": f"`{value}`" for name, value in (result.best_config or {}).items()},
    }
    body = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# Digits classifier\n\n| | |\n|---|---|\n{body}\n"
