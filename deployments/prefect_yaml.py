"""The entries of prefect.yaml, for processes that serve deployments themselves."""

import importlib
from pathlib import Path
from typing import Any

import prefect
import yaml
from prefect.client.schemas.objects import ConcurrencyLimitConfig
from prefect.deployments.runner import EntrypointType, RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron

__all__ = ["serve"]

PREFECT_YAML = Path(__file__).parent.parent / "prefect.yaml"


def serve(*names: str) -> None:
    """Create these deployments of prefect.yaml, and run their flow runs in processes of this machine."""
    entries = yaml.safe_load(PREFECT_YAML.read_text("utf-8"))["deployments"]
    prefect.serve(*(_deployment(entry) for name in names for entry in entries if entry["name"] == name))


def _deployment(entry: dict[str, Any]) -> RunnerDeployment:
    module, _, flow = entry["entrypoint"].partition(":")
    limit = entry.get("concurrency_limit")
    triggers = [
        DeploymentEventTrigger(name=f"{entry['name']}__automation_{number}", **trigger)
        for number, trigger in enumerate(entry.get("triggers", []), start=1)
    ]
    deployment = getattr(importlib.import_module(module), flow).to_deployment(
        entry["name"],
        description=entry["description"],
        parameters=entry.get("parameters"),
        schedules=[
            Cron(at["cron"], timezone=at["timezone"], active=at.get("active", True))
            for at in entry.get("schedules", [])
        ],
        triggers=triggers,
        concurrency_limit=ConcurrencyLimitConfig(**limit) if limit else None,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Set, not left out: else what `prefect deploy` made before keeps its pool, and a worker takes its runs.
    deployment.work_pool_name = deployment.work_queue_name = None
    return deployment
