"""What happens to an experiment as Prefect events, for automations to trigger on.

| event (after `tune-flows.`) | when |
|---|---|
| `experiment.started`, `experiment.resumed` | a driver began it, or took it over to carry it on |
| `experiment.best-changed` | its best value has become better |
| `experiment.stopped` | the session ended, the experiment did not: cancelled, out of time, a signal |
| `experiment.finished` | it has ended with a result, and its tables are written |
| `experiment.failed` | it has ended without: every trial failed, or one did and `fail_fast` is set |
| `trial.started`, `trial.resumed` | a trial got its first worker, or another one |
| `trial.checkpointed` | a checkpoint of it is durable |
| `trial.paused` | it gave its worker back, on the scheduler's word |
| `trial.terminated`, `trial.errored` | it has ended in order, or failed for good |

Resources: `tune-flows.experiment.<url>` and `tune-flows.trial.<url>/<trial id>`, with the labels
`tune-flows.experiment.url` and `tune-flows.experiment.name`. Related: of a trial its experiment (role
`experiment`); what the space names by URL or absolute path (role `data`); and, as of any event of a flow run,
the run, its flow, deployment, work pool and tags.

Rules of this package:

- Only news is told: what this session made durable. A run that finds its experiment ended tells nothing.
- Each kind has a rate, far below what a server takes in. What goes beyond it is left out, and `left_out` in
  the payload counts it, since the session began; of new bests in quick succession the last is told. The
  beginning and the end of an experiment are always told.
- Nothing here waits for the API or fails with it. Prefect sends from a thread of its own, also while the
  process exits.
"""

from tune_flows.tasks.observers.events.content import About, asset_key, result_payload
from tune_flows.tasks.observers.events.observer import RATES, ExperimentEvents

__all__ = ["RATES", "About", "ExperimentEvents", "asset_key", "result_payload"]
