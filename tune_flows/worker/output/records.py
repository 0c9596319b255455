"""Decides which log records of a worker are shown.

Warnings and errors of every logger are shown; below that level, only records of user code, not of libraries.
A record is the user's if it was logged in a file outside the installed packages, if its logger is named after
the package of the trainable, or if a level was set on its logger or on one above it, except the root.
"""

import logging
import site
import sysconfig
from functools import lru_cache

__all__ = ["RecordFilter"]


class RecordFilter:
    """Decides whether a record is shown.

    Args:
        own: Packages that count as user code although they are installed.
        noisy: Packages whose records are shown only if they are errors.
    """

    def __init__(self, own: frozenset[str] = frozenset(), noisy: frozenset[str] = frozenset()) -> None:
        self.own = own
        self._noisy = noisy

    def wants(self, record: logging.LogRecord) -> bool:
        """Return whether the record is shown."""
        package = record.name.partition(".")[0]
        if package in self._noisy:
            return record.levelno >= logging.ERROR
        if record.levelno >= logging.WARNING or package in self.own:
            return True
        return _has_level(record.name) or not _is_installed(record.pathname)


def _has_level(name: str) -> bool:
    """Return whether a level is set on this logger or on one above it, except the root."""
    loggers = logging.root.manager.loggerDict  # `getLogger` would wait for the logging lock
    while name:
        logger = loggers.get(name)
        if isinstance(logger, logging.Logger) and logger.level != logging.NOTSET:
            return True
        name = name.rpartition(".")[0]
    return False


@lru_cache(1024)
def _is_installed(path: str) -> bool:
    return path.startswith(_installed())


@lru_cache(1)
def _installed() -> tuple[str, ...]:
    """Return the folders of the standard library and of installed packages."""
    named = sysconfig.get_paths()
    folders = [named[name] for name in ("stdlib", "platstdlib", "purelib", "platlib") if name in named]
    return tuple(f"{folder}/" for folder in [*folders, *site.getsitepackages(), site.getusersitepackages()])
