"""The entries of prefect.yaml, for processes that serve a deployment themselves."""

from pathlib import Path

import yaml
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import EntrypointType
from prefect.schedules import Cron

from tune_flows import tune

__all__ = ["serve"]

PREFECT_YAML = Path(__file__).parent.parent / "prefect.yaml"


def serve(name: str) -> None:
    """Create the deployment `name` of prefect.yaml, and run its flow runs in processes of this machine."""
    entries = yaml.safe_load(PREFECT_YAML.read_text("utf-8"))["deployments"]
    (entry,) = [entry for entry in entries if entry["name"] == name]
    limit = entry.get("concurrency_limit")
    tune.serve(
        name,
        description=entry["description"],
        parameters=entry["parameters"],
        schedules=[Cron(at["cron"], timezone=at["timezone"]) for at in entry.get("schedules", [])],
        global_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
