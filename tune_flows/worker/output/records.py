"""Which log records of a worker are shown.

The rule: warnings and errors of everybody; below that, what user code logs, not what libraries log. A logger
is the user's when it is called from a file that is not of an installed package, when it is named after the
package of the trainable, or when somebody gave it, or one above it, a level of its own.
"""

import logging
import site
import sysconfig
from functools import lru_cache

__all__ = ["RecordFilter"]


class RecordFilter:
    """Decides whether a record is shown.

    Args:
        own: Packages that count as the user's although they are installed.
        noisy: Packages of which only errors are shown.
    """

    def __init__(self, own: frozenset[str] = frozenset(), noisy: frozenset[str] = frozenset()) -> None:
        self.own = own
        self._noisy = noisy

    def wants(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        package = record.name.partition(".")[0]
        if package in self._noisy:
            return record.levelno >= logging.ERROR
        if record.levelno >= logging.WARNING or package in self.own:
            return True
        return _has_level(record.name) or not _is_installed(record.pathname)


def _has_level(name: str) -> bool:
    """Whether somebody set the level of this logger, or of one above it but for the root."""
    loggers = logging.root.manager.loggerDict  # `getLogger` would wait for whoever configures logging
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
    """Folders of the standard library and of installed packages."""
    named = sysconfig.get_paths()
    folders = [named[name] for name in ("stdlib", "platstdlib", "purelib", "platlib") if name in named]
    return tuple(f"{folder}/" for folder in [*folders, *site.getsitepackages(), site.getusersitepackages()])
