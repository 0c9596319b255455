"""Which flow runs a process answers for."""

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tune_flows.tasks.watch import WatchedRun

pytestmark = pytest.mark.integration


@flow
def step() -> None:
    """Part of another flow."""


@task
def stand_in() -> None:
    """What stands for a flow run in the flow that called it."""


def watched(run: FlowRun) -> WatchedRun:
    with FlowRunContext.model_construct(flow_run=run):
        return WatchedRun.present()


def test_a_run_in_a_process_of_its_own_is_reported_alone(prefect_api: SyncPrefectClient):
    parent = prefect_api.create_flow_run(step)
    call = prefect_api.create_task_run(stand_in, flow_run_id=parent.id, dynamic_key="0")
    called = prefect_api.create_flow_run(step, parent_task_run_id=call.id)
    deployment = prefect_api.create_deployment(prefect_api.create_flow(step), name="elsewhere")
    deployed = prefect_api.create_flow_run_from_deployment(deployment, parent_task_run_id=call.id)

    assert watched(parent).here == (parent.id,)
    assert watched(called).here == watched(called).run_ids == (called.id, parent.id)
    assert watched(deployed).run_ids == (deployed.id, parent.id)
    assert watched(deployed).here == (deployed.id,)
