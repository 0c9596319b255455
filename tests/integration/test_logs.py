"""What the library has to say is in the log of the flow run."""

import logging
import threading

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.logging.handlers import APILogWorker

from tests.integration.observe import flow_runs, log_lines, until
from tune_flows.tasks.logs import library_logs_in_run

pytestmark = pytest.mark.integration


def test_warnings_of_the_library_reach_the_flow_run(prefect_api: SyncPrefectClient, name: str):
    @flow(name="logs", flow_run_name=name)
    def run() -> None:
        with library_logs_in_run():
            warn = logging.getLogger("tune_flows.store.retry").warning
            thread = threading.Thread(target=warn, args=("%s does not answer", "s3://bucket"))
            thread.start()  # as that of the journal: it has no context of the run
            thread.join()
            logging.getLogger("tune_flows.store.retry").info("detail")
        logging.getLogger("tune_flows.store.retry").warning("after the run")

    run()
    APILogWorker.drain_all(timeout=10)
    (recorded,) = flow_runs(prefect_api, name)

    def ours() -> list[tuple[int, str]]:
        lines = log_lines(prefect_api, recorded)
        return [(line.level, line.message) for line in lines if line.level >= logging.WARNING]

    assert until(ours) == [(logging.WARNING, "s3://bucket does not answer")]
