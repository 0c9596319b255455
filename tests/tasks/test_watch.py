"""What a watch makes of what it sees, without a server: what goes before what, and the time that is left."""

import asyncio
import socket
import time
from collections.abc import Iterator

import pytest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Completed, Paused, Running, Suspended

from tune_flows.tasks.watch import StopReason, Watch, WatchedRun

NOTHING = WatchedRun(run_ids=(), here=(), parent=None)
ORPHAN = WatchedRun(run_ids=(), here=(), parent=-1)


@pytest.mark.parametrize(
    ("own", "root", "cause"),
    [
        (Running(), Paused(), StopReason.PAUSED),
        (Paused(), Running(), StopReason.PAUSED),
        (Running(), Running(), None),
        (Completed(), None, None),
        (Paused(), Cancelling(), StopReason.CANCELLED),
        (Cancelled(), Paused(), StopReason.CANCELLED),
        (Paused(), Suspended(), StopReason.SUSPENDED),
        (Suspended(), Cancelling(), StopReason.CANCELLED),
    ],
    ids=lambda value: getattr(value, "name", "unknown"),
)
def test_what_follows_a_pause(own: State, root: State | None, cause: StopReason | None):
    watch = Watch(NOTHING, lambda reason: None)
    watch.cause, watch.state = StopReason.PAUSED, Paused()

    watch.look_again([own, root])

    assert watch.cause is cause
    assert watch.state is (None if cause is None else own if own.name.lower() == cause.name.lower() else root)


@pytest.fixture
def api() -> Iterator[None]:
    """An address that nobody is asked at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/api"
        with temporary_settings({PREFECT_API_URL: url}):
            yield


def stopped(run: WatchedRun, deadline: float | None) -> Watch:
    """A watch that has found a reason."""

    async def session() -> Watch:
        found = asyncio.Event()
        watch = Watch(run, lambda reason: found.set(), deadline=deadline)
        async with watch.watching():
            await asyncio.wait_for(found.wait(), 10)
        return watch

    return asyncio.run(session())


@pytest.mark.usefixtures("api")
def test_the_time_that_was_left_when_the_session_was_stopped():
    left_s = stopped(ORPHAN, time.monotonic() + 100.0).left_s
    assert left_s is not None
    assert 80 < left_s < 100

    assert stopped(ORPHAN, None).left_s is None

    over = stopped(NOTHING, time.monotonic() - 1.0)
    assert (over.cause, over.left_s) == (StopReason.OUT_OF_TIME, 0.0)
