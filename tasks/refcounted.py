"""Settings of the whole process that several runs need at the same time."""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["refcounted"]


def refcounted(
    setting: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """Decorator of a context manager for many: the first who enters it makes the setting, the last undoes it.

    Each for itself, one that leaves would restore what another one still needs, or what that one has made.
    """
    lock = threading.Lock()
    made: list[AbstractContextManager[None]] = []
    users = 0

    @contextmanager
    def together() -> Generator[None]:
        nonlocal users
        with lock:
            if users == 0:
                first = setting()
                first.__enter__()
                made.append(first)
            users += 1
        try:
            yield
        finally:
            with lock:
                users -= 1
                if users == 0:
                    made.pop().__exit__(None, None, None)

    return together
