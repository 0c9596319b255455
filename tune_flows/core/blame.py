"""Whose fault it is that a worker raised: the same for every executor."""

from tune_flows.core.errors import InfrastructureError, RestoreError
from tune_flows.core.events import FaultKind

__all__ = ["classify_error"]


def classify_error(error: object) -> tuple[FaultKind, str, str]:
    """Whose fault an error is, its first line, and the rest of its text: the traceback, where it has one."""
    message, _, rest = str(error).strip().partition("\n")
    return _kind(error), message or "no message", rest.strip()


def _kind(error: object) -> FaultKind:
    if isinstance(error, RestoreError):
        return FaultKind.RESTORE
    return FaultKind.INFRASTRUCTURE if isinstance(error, InfrastructureError) else FaultKind.TRAINABLE
