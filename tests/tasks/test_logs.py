"""Warnings of the library in the log of the flow run that it works for."""

import contextvars
import logging
import threading
from collections.abc import Iterator
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.context import FlowRunContext

from tune_flows.tasks.logs import library_logs_in_run


class Kept(logging.Handler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler, logger = Kept(), logging.getLogger("prefect.flow_runs")
    before = logger.handlers, logger.level, logger.disabled, logger.propagate
    logger.handlers = [handler]  # none that looks for a Prefect API
    logger.setLevel("INFO")
    logger.disabled = logger.propagate = False
    try:
        yield handler
    finally:
        logger.handlers, logger.level, logger.disabled, logger.propagate = before


@pytest.fixture
def flow_run() -> Iterator[FlowRun]:
    run = FlowRun(flow_id=uuid4(), name="nightly")
    context = FlowRunContext.model_construct(flow_run=run, flow=None)
    token = FlowRunContext.__var__.set(context)
    try:
        yield run
    finally:
        FlowRunContext.__var__.reset(token)


def test_warnings_come_with_run_and_traceback(kept: Kept, flow_run: FlowRun):
    store, driver = (
        logging.getLogger("tune_flows.store.retry"),
        logging.getLogger("tune_flows.experiment.driver"),
    )
    with library_logs_in_run():
        store.warning("%s does not answer", "the storage")
        store.info("nobody needs to know")
        try:
            raise ValueError("the cause")
        except ValueError:
            driver.exception("left out from here on")
    told = [(record.levelname, record.getMessage(), record.exc_info) for record in kept.records]
    assert [one[:2] for one in told] == [
        ("WARNING", "the storage does not answer"),
        ("ERROR", "left out from here on"),
    ]
    assert told[1][2] is not None
    assert isinstance(told[1][2][1], ValueError)
    assert {vars(record)["flow_run_id"] for record in kept.records} == {str(flow_run.id)}


def test_a_thread_that_knows_of_no_run_is_heard(kept: Kept, flow_run: FlowRun):
    with library_logs_in_run():
        say = logging.getLogger("tune_flows.experiment.snapshotter").warning
        thread = threading.Thread(target=contextvars.Context().run, args=(say, "not written"))
        thread.start()
        thread.join()
    assert [record.getMessage() for record in kept.records] == ["not written"]


def test_runs_at_once_hear_each_its_own(kept: Kept):
    library, of_trials = logging.getLogger("tune_flows"), logging.getLogger("tune_flows.trials")
    before = library.propagate, of_trials.level
    runs = {name: FlowRun(flow_id=uuid4(), name=name) for name in ("first", "second")}
    contexts = {name: contextvars.copy_context() for name in [*runs, "unknown"]}
    for name, run in runs.items():
        contexts[name].run(
            FlowRunContext.__var__.set, FlowRunContext.model_construct(flow_run=run, flow=None)
        )
    listening = {name: contexts[name].run(library_logs_in_run) for name in runs}
    for name in runs:
        contexts[name].run(listening[name].__enter__)
    for name, context in contexts.items():
        context.run(library.warning, "of the %s", name)
    listening["first"].__exit__(None, None, None)
    contexts["first"].run(library.warning, "late")
    of_trials.info("still heard")
    listening["second"].__exit__(None, None, None)

    told: dict[str, list[str]] = {str(run.id): [] for run in runs.values()}
    for record in kept.records:
        told[vars(record)["flow_run_id"]].append(record.getMessage())
    assert list(told.values()) == [
        ["of the first", "of the unknown"],
        ["of the second", "of the unknown", "late", "still heard"],
    ]
    assert (library.propagate, of_trials.level) == before


def test_a_logger_that_drops_what_is_logged_meanwhile(
    kept: Kept, flow_run: FlowRun, monkeypatch: pytest.MonkeyPatch
):
    """Python 3.13.4: `Logger.handle` and `isEnabledFor` say no on a thread that handles a record."""
    busy, handle, enabled = threading.local(), logging.Logger.handle, logging.Logger.isEnabledFor

    def once(logger: logging.Logger, record: logging.LogRecord) -> None:
        if not getattr(busy, "now", False):
            busy.now = True
            handle(logger, record)
            busy.now = False

    monkeypatch.setattr(logging.Logger, "handle", once)
    monkeypatch.setattr(
        logging.Logger,
        "isEnabledFor",
        lambda logger, level: not getattr(busy, "now", False) and enabled(logger, level),
    )
    with library_logs_in_run():
        logging.getLogger("tune_flows.flow").warning("the session ends")
    assert [record.getMessage() for record in kept.records] == ["the session ends"]
