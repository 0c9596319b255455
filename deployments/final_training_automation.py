"""Starts the final training whenever an experiment of a deployment has finished, with its result.

    python deployments/final_training_automation.py [deployment that tunes] [deployment that trains]

By default the nights of `digits-nightly` and `digits-final/digits-final`. Once for each server; again, it
replaces what it made before for the same two. The deployment that trains takes the parameter `result`, a
`TuneResult`.
"""

import sys

from prefect.client.orchestration import get_client
from prefect.events.actions import RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

__all__ = ["automation"]


def automation(tuning: str, training: str, deployment_id: object) -> AutomationCore:
    """An automation that runs a deployment when another one has finished an experiment.

    Args:
        tuning: Name of the deployment of `tune`.
        training: Name of the deployment to run, as `flow/deployment`.
        deployment_id: Of the same.
    """
    return AutomationCore(
        name=f"{training} after {tuning}",
        trigger=EventTrigger(
            expect={"tune-flows.experiment.finished"},
            match=ResourceSpecification({"prefect.resource.id": ["tune-flows.experiment.*"]}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": ["deployment"], "prefect.resource.name": [tuning]}
            ),
            posture=Posture.Reactive,
            threshold=1,
        ),
        # A template that is one expression keeps the type of its value: the result arrives as an object.
        actions=[
            RunDeployment.model_validate(
                {"deployment_id": deployment_id, "parameters": {"result": "{{ event.payload.result }}"}}
            )
        ],
    )


def main(tuning: str = "digits-nightly", training: str = "digits-final/digits-final") -> None:
    """Create it."""
    with get_client(sync_client=True) as client:
        made = automation(tuning, training, client.read_deployment_by_name(training).id)
        for earlier in client.read_automations_by_name(made.name):
            client.delete_automation(earlier.id)
        client.create_automation(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
