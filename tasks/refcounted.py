"""Process-wide settings that several concurrent runs share."""

import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

__all__ = ["refcounted"]


def refcounted(
    setting: Callable[[], AbstractContextManager[None]],
) -> Callable[[], AbstractContextManager[None]]:
    """Decorator for a shared context manager: the first user applies the setting, the last one undoes it.

    Reference-counted, so that the first to leave does not undo the setting for the others.
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
