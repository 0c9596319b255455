"""Emits Prefect events about an experiment, on which automations can trigger.

| event (after `tune-flows.`) | when |
|---|---|
| `experiment.started`, `experiment.resumed` | a driver began it, or resumed it |
| `experiment.best-changed` | its best value has become better |
| `experiment.stopped` | the session ended, the experiment did not: cancelled, out of time, a signal |
| `experiment.finished` | it has ended with a result, and its tables are written |
| `experiment.failed` | it has ended without a result: every trial failed, or one did and `fail_fast` is set |
| `trial.started`, `trial.resumed` | a trial got its first worker, or another one |
| `trial.checkpointed` | a checkpoint of it is durable |
| `trial.paused` | the scheduler paused it, and it released its worker |
| `trial.terminated`, `trial.errored` | it has ended normally, or failed finally |

Resources: `tune-flows.experiment.<url>` and `tune-flows.trial.<url>/<trial id>`, with the labels
`tune-flows.experiment.url` and `tune-flows.experiment.name`. Related resources: the experiment of a trial
(role `experiment`); data that the space names by URL or absolute path (role `data`); and, as for any event of
a flow run, the run, its flow, deployment, work pool and tags.

Rules of this package:

- Only what this session made durable is sent. A run that finds its experiment ended sends nothing.
- Each kind has a rate limit, far below what a server can accept. Events beyond it are left out; `left_out` in
  the payload counts them since the session began. Of new bests in quick succession, the last one is sent.
  The beginning and the end of an experiment are always sent.
- Nothing here waits for the API or fails with it. Prefect sends events from a separate thread, also while
  the process exits.
"""

from tune_flows.tasks.observers.events.content import About, asset_key, result_payload
from tune_flows.tasks.observers.events.observer import RATES, ExperimentEvents

__all__ = ["RATES", "About", "ExperimentEvents", "asset_key", "result_payload"]
