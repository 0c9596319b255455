"""Live artifacts of a run: its progress, a table of its trials, a page with its best trial and pictures.

    artifacts = LiveArtifacts(name, store, objective, space)  # an observer of the driver
    with live_artifacts(artifacts):                           # shows them while the block runs

`board` and `earlier` gather what is known, `glance` is the experiment at one moment, `trial_rows` and `story`
write it down, `publisher` sends it.
"""

from tune_flows.tasks.observers.artifacts.keys import artifact_key
from tune_flows.tasks.observers.artifacts.observer import LiveArtifacts
from tune_flows.tasks.observers.artifacts.publisher import live_artifacts

__all__ = ["LiveArtifacts", "artifact_key", "live_artifacts"]
