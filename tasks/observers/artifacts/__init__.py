"""Live artifacts of a run: its progress, a table of its trials, a report with its best trial and plots.

    artifacts = LiveArtifacts(name, store, objective, space)  # an observer of the driver
    with live_artifacts(artifacts):                           # publishes them while the block runs

`feed` and `history_loader` collect the data, `summary` is a snapshot of the experiment, `trial_rows` and
`report_markdown` render it, `publisher` sends it.
"""

from tune_flows.tasks.observers.artifacts.keys import artifact_key
from tune_flows.tasks.observers.artifacts.observer import LiveArtifacts
from tune_flows.tasks.observers.artifacts.publisher import live_artifacts

__all__ = ["LiveArtifacts", "artifact_key", "live_artifacts"]
