"""What Ray tells the driver's console although it was asked not to.

`log_to_driver=False` keeps the workers' output away, but not that a worker has died. Here that is a fault of
a trial, whose task run logs it with the worker's last words.
"""

from typing import Any

__all__ = ["Hush"]

_DIED = "A worker died or was killed while executing a task"


class Hush:
    """Keeps these messages off the console between `begin` and `end`; all others get there."""

    def __init__(self) -> None:
        self._tell: Any = None

    def begin(self) -> None:
        """From now on."""
        from ray._private import worker

        library: Any = worker
        tell = library.print_to_stdstream

        def tell_news(data: Any, ignore_prefix: Any = None) -> None:  # noqa: ANN401 - Ray's own
            if not any(_DIED in str(line) for line in data.get("lines", ())):
                tell(data, ignore_prefix)

        library.print_to_stdstream, self._tell = tell_news, tell

    def end(self) -> None:
        """No longer."""
        from ray._private import worker

        library: Any = worker
        if self._tell is not None:
            library.print_to_stdstream, self._tell = self._tell, None
