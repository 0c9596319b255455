"""Marks flow runs as Crashed whose heartbeats have stopped: those that no process is left to report.

    python deployments/zombie_automation.py

Once for each server; again, it replaces what it made before. Runs must send heartbeats more often than the
server waits for them: PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 where they run. Prefect's default is 180 seconds.
"""

from datetime import timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

__all__ = ["NAME", "automation"]

NAME = "crash-zombie-flow-runs"
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut", "Suspended", "AwaitingRetry")
"""States in which a run that sent heartbeats sends none any more, and is no zombie."""


def automation(within: timedelta = timedelta(seconds=120)) -> AutomationCore:
    """An automation that gives a run up when nothing was heard of it for so long after a heartbeat."""
    return AutomationCore(
        name=NAME,
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *(f"prefect.flow-run.{state}" for state in _ENDS)},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="Its heartbeats have stopped.")],
    )


def main() -> None:
    """Create it."""
    with get_client(sync_client=True) as client:
        for earlier in client.read_automations_by_name(NAME):
            client.delete_automation(earlier.id)
        client.create_automation(automation())


if __name__ == "__main__":
    main()
