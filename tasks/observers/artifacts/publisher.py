"""Sends the artifacts of a run to the API periodically, from a separate thread.

Rules of this module:

- All work happens outside the driver's thread. Each artifact uses at most 3 % of one core: one that costs
  more is updated less often. The last update follows the last commit and shows the final state exactly.
- An API that is unreachable, slow or refuses must not disturb the run: log one warning, and retry.
- A run whose experiment another driver has taken over updates only artifacts that no other run has changed,
  and creates none: a new artifact would hide the other driver's.
- An update emits no event, as the event would hold the whole artifact, every few seconds.
"""

import contextvars
import json
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, ArtifactFilterKey
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from tune_flows.core.errors import ExperimentFenced
from tune_flows.tasks.observers.artifacts.keys import artifact_key
from tune_flows.tasks.observers.artifacts.observer import LiveArtifacts
from tune_flows.tasks.observers.artifacts.report_markdown import best_value, story
from tune_flows.tasks.observers.artifacts.summary import Glance
from tune_flows.tasks.observers.artifacts.trial_rows import about_rows, trial_rows

__all__ = ["live_artifacts"]

_log = logging.getLogger(__name__)

_LOOK_S = 1.0
"""Seconds between two checks for changes."""
_LEAST_S = 5.0
"""Least number of seconds between two updates of an artifact."""
_SHARE = 0.03
"""Share of one core to use for each artifact."""
_ANSWER_S = 5.0
"""Seconds within which the API must answer."""
_SLOW_S = 2.0
"""Seconds after which a failed update counts as slow: the other artifacts are then not tried for now."""
_ENDED_S, _STOPPED_S, _BROKEN_OFF_S = 20.0, 5.0, 3.0
"""Most seconds that a run waits for its artifacts: at the end, when stopped, when an error ends it."""
_PAGE_BYTES, _TABLE_BYTES = 480_000, 200_000


@contextmanager
def live_artifacts(artifacts: LiveArtifacts) -> Generator[None]:
    """Publish the artifacts of the current flow run while the block runs, and their final state after it."""
    publisher = _Publisher(artifacts, UUID(flow_run.id))
    context = contextvars.copy_context()  # the run's settings hold the API's URL
    thread = threading.Thread(target=context.run, args=(publisher.run,), name="artifacts", daemon=True)
    thread.start()
    wait_s = _BROKEN_OFF_S
    try:
        yield
        wait_s = _ENDED_S if artifacts.has_ended else _STOPPED_S
    except BaseException as error:
        artifacts.left_by(error)
        publisher.fenced = isinstance(error, ExperimentFenced)
        raise
    finally:
        publisher.over.set()
        thread.join(wait_s)
        artifacts.close()


@dataclass(slots=True)
class _Piece:
    """One artifact: how it is made, and what was sent of it."""

    key: str
    type: str
    make: Callable[[Glance], tuple[str, Any]]
    """Returns description and data."""
    first_after_s: float = 0.0
    artifact_id: UUID | None = None
    sent: tuple[str, Any] | None = None
    stale: bool = False
    due: float = 0.0
    """Monotonic time (s) of its next update."""


class _Publisher:
    """Makes the artifacts and sends them, on a separate thread."""

    def __init__(self, artifacts: LiveArtifacts, run_id: UUID) -> None:
        self.over = threading.Event()
        """When set, the publisher updates once more and ends."""
        self.fenced = False
        """Whether another driver has taken the experiment over."""
        self._artifacts = artifacts
        self._run_id = run_id
        name = artifacts.name
        self._pieces = [
            _Piece(artifact_key(name, "progress"), "progress", _progress),
            _Piece(artifact_key(name, "trials"), "table", _trials),
            _Piece(artifact_key(name, "report"), "markdown", _report, first_after_s=3.0),
        ]
        self._opened = ExitStack()
        self._looked_for = False
        self._told = False

    def run(self) -> None:
        """Publish until `over` is set, and once more after that."""
        began = time.monotonic()
        for piece in self._pieces:
            piece.due = began + piece.first_after_s
        try:
            # the client's own retries would outlast the run
            with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}), self._opened:
                while not self.over.wait(_LOOK_S):
                    self._try_to_look(last=False)
                if self.fenced:
                    self._looked_for = False  # the other driver may be in this very flow run
                self._try_to_look(last=True)
        except Exception as error:
            self._tell(error)

    def _try_to_look(self, *, last: bool) -> None:
        """Update the artifacts; on an error mark all of them as stale, so that the next update retries."""
        try:
            self._look(last=last)
        except Exception as error:
            self._tell(error)
            for piece in self._pieces:
                piece.stale = True

    def _look(self, *, last: bool) -> None:
        news = self._artifacts.catch_up()
        for piece in self._pieces:
            piece.stale = piece.stale or news
        due = [piece for piece in self._pieces if piece.stale and (last or time.monotonic() >= piece.due)]
        if not due:
            return
        glance = self._artifacts.glance(last=last)
        for piece in due:
            began = time.monotonic()
            try:
                self._publish(piece, glance)
            except Exception as error:
                self._tell(error)
                self._looked_for = False  # the artifact may have been created although the response was lost
                piece.due = time.monotonic() + 2 * _LEAST_S
                if time.monotonic() - began > _SLOW_S:
                    break  # the API does not answer: the others would wait as long

    def _publish(self, piece: _Piece, glance: Glance) -> None:
        began_s = time.thread_time()
        content = piece.make(glance)
        cost_s = time.thread_time() - began_s
        if content != piece.sent:
            self._find_those_of_this_run()
            if not _update(piece, *content, self._client) and not self.fenced:
                self._create(piece, *content)
        piece.sent, piece.stale = content, False
        piece.due = time.monotonic() + max(_LEAST_S, cost_s / _SHARE)

    def _find_those_of_this_run(self) -> None:
        """Find artifacts that this flow run has created before, as when it was retried or paused."""
        if self._looked_for:
            return
        pieces = {piece.key: piece for piece in self._pieces}
        found = self._client.read_artifacts(
            artifact_filter=ArtifactFilter(
                key=ArtifactFilterKey(any_=list(pieces)),
                flow_run_id=ArtifactFilterFlowRunId(any_=[self._run_id]),
            )
        )
        for piece in self._pieces:
            piece.artifact_id = None
        for artifact in found:
            piece = pieces[str(artifact.key)]
            if not self.fenced or (piece.sent is not None and piece.sent[0] == artifact.description):
                piece.artifact_id = artifact.id
        self._looked_for = True

    def _create(self, piece: _Piece, description: str, data: object) -> None:
        created = self._client.create_artifact(
            ArtifactCreate(
                key=piece.key, type=piece.type, description=description, data=data, flow_run_id=self._run_id
            )
        )
        piece.artifact_id = created.id

    @cached_property
    def _client(self) -> SyncPrefectClient:
        return self._opened.enter_context(get_client({"timeout": _ANSWER_S}, sync_client=True))

    def _tell(self, error: Exception) -> None:
        _log.log(
            logging.DEBUG if self._told else logging.WARNING,
            "the artifacts of this run cannot be updated, which is tried again: %r",
            error,
        )
        self._told = True


def _update(piece: _Piece, description: str, data: object, client: SyncPrefectClient) -> bool:
    """Update an artifact; return False if it does not exist."""
    if piece.artifact_id is None:
        return False
    try:
        client.request(
            "PATCH",
            "/artifacts/{id}",
            path_params={"id": piece.artifact_id},
            json={"description": description, "data": data},
        )
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 404:
            raise
        return False  # somebody has deleted it
    return True


def _progress(glance: Glance) -> tuple[str, Any]:
    return glance.status(), glance.percentage()


def _trials(glance: Glance) -> tuple[str, Any]:
    rows = trial_rows(glance, most_bytes=_TABLE_BYTES)
    return about_rows(glance, len(rows)), json.dumps(rows, allow_nan=False)


def _report(glance: Glance) -> tuple[str, Any]:
    return f"{best_value(glance)}; {glance.status()}", story(glance, most_bytes=_PAGE_BYTES)
