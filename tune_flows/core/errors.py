"""All errors that the library raises on purpose, under one root and grouped by who caused them.

Each constructor takes a single message, so that an error can be pickled and sent from a worker. The message
states the value received, the value expected, the place, and what to do.
"""

__all__ = [
    "AllTrialsFailed",
    "CorruptJournalError",
    "ExperimentExists",
    "ExperimentFenced",
    "ExperimentMismatch",
    "ExperimentNotFound",
    "InfrastructureError",
    "InvalidParameter",
    "InvalidTransition",
    "MetricNotReported",
    "PolicyError",
    "ResourcesUnavailable",
    "RestoreError",
    "StorageError",
    "TrainableError",
    "TrialFailed",
    "TuneError",
    "UserError",
]


class TuneError(Exception):
    """Root of all errors that tune_flows raises on purpose."""


class UserError(TuneError):
    """The caller's error, such as a parameter, policy or metric. Final: a retry raises the same error."""


class InvalidParameter(UserError, ValueError):
    """A parameter has an invalid value; raised before any trial starts. Final."""

    @classmethod
    def of(cls, parameter: str, got: object, expected: str, hint: str = "") -> "InvalidParameter":
        """Create an error that names the parameter, the value it got and the value expected."""
        shown = repr(got)
        if len(shown) > 200:
            shown = f"{shown[:197]}..."
        return cls(f"{parameter}: got {shown}, expected {expected}." + (f" {hint}" if hint else ""))


class ExperimentMismatch(UserError):
    """The experiment at this URL was started with different parameters; the message lists them. Final."""


class ExperimentExists(UserError):
    """A new experiment was requested, but one already exists at this URL. Final."""


class ExperimentNotFound(UserError):
    """There is no experiment at this URL. Final."""


class MetricNotReported(UserError):
    """A trial ended, and no trial has reported the metric to optimize. Final."""


class PolicyError(UserError):
    """A search algorithm, scheduler or stopper violated its interface or raised an exception. Final."""


class TrainableError(TuneError):
    """The user's training code failed; the message carries its traceback."""


class TrialFailed(TuneError):
    """A trial failed for good, and `fail_fast` ended the experiment; the message carries its error. Final."""


class AllTrialsFailed(TuneError):
    """Every trial failed for good; the message carries the first errors. Final."""


class InfrastructureError(TuneError):
    """A machine, a network or a service failed; retryable unless a subclass says otherwise."""


class RestoreError(InfrastructureError):
    """The checkpoint that a trial should resume from cannot be fetched. Retryable."""


class ResourcesUnavailable(InfrastructureError):
    """No node of the cluster is large enough for a trial, or the cluster cannot be reached. Final."""


class StorageError(InfrastructureError):
    """The storage rejected a request or did not answer within the retry budget."""


class CorruptJournalError(StorageError):
    """A stored object is incomplete, not ours, or of a newer format; the message names it. Final."""


class ExperimentFenced(InfrastructureError):
    """Another driver has taken over this experiment; this one must stop. Final for this driver."""


class InvalidTransition(TuneError):
    """A trial's status does not allow the transition: a bug here or in a custom executor. Final."""
