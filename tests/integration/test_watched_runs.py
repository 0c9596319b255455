"""Which flow runs a process answers for, and what becomes of those that were paused or cancelled."""

import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout
from prefect.runtime import flow_run
from prefect.states import Cancelling, Paused, Running, State

from tests.integration.life import ROOT
from tune_flows.tasks import at_exit
from tune_flows.tasks.ending import wait_while_paused
from tune_flows.tasks.watch import StopReason, Watch, WatchedRun

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


def paused(api: SyncPrefectClient, own: State[Any], root: State[Any]) -> Watch:
    """What is left of a session that was paused: the run's state, and that of the one that it is part of."""
    ids = api.create_flow_run(step, state=own).id, api.create_flow_run(step, state=root).id
    watch = Watch(WatchedRun(ids, ids, None), lambda reason: None)
    watch.cause = StopReason.PAUSED
    watch.state = next(state for state in (own, root) if state.is_paused())
    return watch


def test_a_run_waits_for_the_one_that_it_is_part_of(prefect_api: SyncPrefectClient):
    watch = paused(prefect_api, Running(), Paused(timeout_seconds=1))
    with pytest.raises(FlowPauseTimeout):
        wait_while_paused(watch, ask_s=0.05)

    own, root = watch.run.run_ids
    prefect_api.set_flow_run_state(root, Running(), force=True)
    watch.state = Paused(timeout_seconds=60)
    assert wait_while_paused(watch, ask_s=0.05) is None

    prefect_api.set_flow_run_state(own, Cancelling(), force=True)
    prefect_api.set_flow_run_state(root, Paused(timeout_seconds=60), force=True)
    watch.cause, watch.state = StopReason.PAUSED, Paused(timeout_seconds=60)
    assert wait_while_paused(watch, ask_s=0.05) is watch.cause is StopReason.CANCELLED


@flow
def part() -> None:
    """As `tune`, which has a flow around it; what is left of it cannot hear of a cancellation."""
    run = WatchedRun.present()
    with run.watched_over():
        print(*run.here, flush=True)
    sys.stdin.readline()


@flow
def whole() -> None:
    """What calls it."""
    part()


@flow
def undisturbed() -> None:
    """Another run of the same process."""
    with WatchedRun.present().watched_over():
        print(flow_run.id, flush=True)


def script() -> None:
    """What a script does; a busy server may take its time to hear how it ended."""
    at_exit._ANSWER = httpx.Timeout(60)
    undisturbed()
    whole()


def test_runs_of_a_script_that_are_cancelled_as_they_end(
    prefect_api: SyncPrefectClient, prefect_environment: dict[str, str]
):
    process = subprocess.Popen(
        [sys.executable, "-c", f"import {__name__} as runs; runs.script()"],
        cwd=ROOT,
        env=os.environ | prefect_environment | {"PREFECT_LOGGING_LEVEL": "CRITICAL"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    before = process.stdout.readline().split()
    cancelled = process.stdout.readline().split()
    assert len(cancelled) == 2
    for run_id in cancelled:
        prefect_api.set_flow_run_state(run_id, Cancelling())
    _, errors = process.communicate("go on\n", timeout=60)

    assert (process.returncode, errors) == (0, "")
    assert [prefect_api.read_flow_run(run_id).state_name for run_id in cancelled] == ["Cancelled"] * 2
    assert [prefect_api.read_flow_run(run_id).state_name for run_id in before] == ["Completed"]
