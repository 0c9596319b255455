"""The contents of events: resources with stable ids, and small payloads.

Rules of this module:

- A payload holds, as JSON, what an automation needs to act; large data is referred to by URL.
"""

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tune_flows.core.trial import CheckpointRef, Trial
from tune_flows.results.tune_result import TuneResult

__all__ = ["PREFIX", "About", "asset_key", "first_line", "result_payload", "trial_payload"]

PREFIX = "tune-flows"
"""Prefix of the names of events, resources and labels."""
_MOST_BYTES = 32_000
"""Limit for a configuration or metrics as JSON; an event may have 1.5 MB, parameters of a run 512 kB."""
_MOST_ERRORS = 20
_MOST_CHARACTERS = 500
_MOST_DATA = 10


class About:
    """The resources that the events of one experiment refer to.

    Args:
        url: URL of the experiment.
        constants: Constants of its search space, by path.
    """

    def __init__(self, url: str, constants: Mapping[str, Any]) -> None:
        self.url = url
        self.name = url.rpartition("/")[2]
        self.data = list(_data(constants.values()))[:_MOST_DATA]
        """Resources of role `data`: what the space names by URL or absolute path."""

    def experiment(self) -> dict[str, str]:
        """Return the resource of the experiment."""
        return {
            "prefect.resource.id": f"{PREFIX}.experiment.{self.url}",
            "prefect.resource.name": self.name,
            **self._labels(),
        }

    def trial(self, trial_id: str) -> dict[str, str]:
        """Return the resource of a trial."""
        return {
            "prefect.resource.id": f"{PREFIX}.trial.{self.url}/{trial_id}",
            "prefect.resource.name": trial_id,
            **self._labels(),
        }

    def related_experiment(self) -> dict[str, str]:
        """Return the experiment as a related resource, for events about something else."""
        return self.experiment() | {"prefect.resource.role": "experiment"}

    def checkpoint_url(self, checkpoint: CheckpointRef | None) -> str | None:
        """Return the URL of a checkpoint; None without one."""
        return f"{self.url}/{checkpoint.path}" if checkpoint else None

    def _labels(self) -> dict[str, str]:
        return {f"{PREFIX}.experiment.url": self.url, f"{PREFIX}.experiment.name": self.name}


def asset_key(location: str) -> str:
    """Return a URL or an absolute path as the key of a Prefect asset: `s3://...`, `file:///...`."""
    return location if "://" in location else Path(location).as_uri()


def trial_payload(about: About, trial: Trial) -> dict[str, Any]:
    """Return the state of a trial; `config` and `metrics` are None when they are large."""
    return {
        "trial_id": trial.trial_id,
        "experiment_url": about.url,
        "iteration": trial.iteration,
        "config": _if_small(trial.config),
        "metrics": _if_small(trial.metrics),
        "checkpoint_url": about.checkpoint_url(trial.start),
    }


def result_payload(result: TuneResult) -> dict[str, Any]:
    """Return the result, and separately the fields that triggers and templates need most.

    `result` is a whole `TuneResult` as JSON except for large parts: it has only the first errors, and
    `best_config` and `best_metrics` may be None.
    """
    whole = result.model_dump(mode="json")
    for name in ("best_config", "best_metrics"):
        whole[name] = _if_small(whole[name])
    first = islice(result.errors.items(), _MOST_ERRORS)
    whole["errors"] = {trial_id: first_line(error) for trial_id, error in first}
    return {
        "result": whole,
        "experiment_url": result.experiment_url,
        "best_trial_id": result.best_trial_id,
        "best_value": result.best_value,
        "best_config": whole["best_config"],
        "best_checkpoint_url": result.best_checkpoint_url,
    }


def first_line(text: str) -> str:
    """Return the first line of an error, without its traceback, shortened if it is long."""
    return text.partition("\n")[0][:_MOST_CHARACTERS]


def _if_small(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    return value if len(json.dumps(value)) <= _MOST_BYTES else None


def _data(constants: Iterable[Any]) -> Iterable[dict[str, str]]:
    for value in constants:
        if isinstance(value, str) and _is_location(value):
            yield {"prefect.resource.id": asset_key(value), "prefect.resource.role": "data"}


def _is_location(value: str) -> bool:
    """Return whether `value` is a location only: no URL with a password or a signature."""
    if "://" not in value:
        return len(value) > 1 and Path(value).is_absolute()
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    named = parts.scheme and (parts.netloc or parts.path.strip("/"))
    return bool(named) and not (parts.query or "@" in parts.netloc)
