"""Classification of the errors that workers raise, shared by all executors."""

from tune_flows.core.errors import InfrastructureError, RestoreError
from tune_flows.core.events import FaultKind

__all__ = ["classify_error"]


def classify_error(error: object) -> tuple[FaultKind, str, str]:
    """Return an error's kind, the first line of its text, and the rest of it: the traceback, if any."""
    message, _, rest = str(error).strip().partition("\n")
    return _kind(error), message or "no message", rest.strip()


def _kind(error: object) -> FaultKind:
    if isinstance(error, RestoreError):
        return FaultKind.RESTORE
    return FaultKind.INFRASTRUCTURE if isinstance(error, InfrastructureError) else FaultKind.TRAINABLE
