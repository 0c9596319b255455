"""The class API: a trainable as a class that trains step by step."""

from pathlib import Path
from typing import Any

__all__ = ["Trainable"]


class Trainable:
    """Base of class trainables: override `setup` and `step`, and the two checkpoint methods to be resumable.

    An instance is created without arguments, in a worker, for one trial; its methods are called one at a
    time. Only what is in its checkpoints survives when its worker is lost.
    """

    config: dict[str, Any]
    """The trial's configuration."""
    trial_id: str
    """The trial's name in this experiment."""
    iteration: int
    """Training iterations done so far: 0 in the first `step`."""

    @property
    def training_iteration(self) -> int:
        """Same as `iteration`."""
        return self.iteration

    def setup(self, config: dict[str, Any]) -> None:
        """Prepare for the first step; objects of `with_parameters` are passed as keyword arguments."""

    def step(self) -> dict[str, Any]:
        """Train for one iteration and return its metrics; `"done": True` among them ends the trial."""
        raise NotImplementedError

    def save_checkpoint(self, checkpoint_dir: Path) -> dict[str, Any] | None:
        """Write files into `checkpoint_dir`, or return a dict, which is then stored instead.

        The files are uploaded while training continues: do not change them afterwards.
        """
        raise NotImplementedError

    def load_checkpoint(self, checkpoint: Any) -> None:  # noqa: ANN401 - dict or Path, which a subclass knows
        """Restore the state of a checkpoint.

        Args:
            checkpoint: The dict that `save_checkpoint` returned, or the folder with the files that it wrote
                (a Path, valid during this call).
        """
        raise NotImplementedError

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Switch to another configuration in place; return False (the default) to get a new instance instead.

        If there is a checkpoint to continue from, `load_checkpoint` is called next; `config` is set by then.
        """
        del new_config
        return False

    def cleanup(self) -> None:
        """Release what `setup` acquired; called once, regardless of how the trial ended.

        Not called when `setup` itself raised or when the worker is lost.
        """
