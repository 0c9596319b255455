"""Every error the library raises on purpose, one root, sorted by whose fault it is.

Each class takes one message, so that an error survives pickling on its way from a worker. A message says
what was got, what was expected, where, and what to do.
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
    """The caller can mend it: a parameter, a policy, a metric. Final: a retry gives the same error."""


class InvalidParameter(UserError, ValueError):
    """A parameter has a value that cannot work; raised before any trial starts. Final."""

    @classmethod
    def of(cls, parameter: str, got: object, expected: str, hint: str = "") -> "InvalidParameter":
        """An error naming the parameter, the value it got and what is expected instead."""
        shown = repr(got)
        if len(shown) > 200:
            shown = f"{shown[:197]}..."
        return cls(f"{parameter}: got {shown}, expected {expected}." + (f" {hint}" if hint else ""))


class ExperimentMismatch(UserError):
    """The experiment at this URL was begun with other parameters; the message lists them. Final."""


class ExperimentExists(UserError):
    """There is an experiment at this URL, and a new one was asked for. Final."""


class ExperimentNotFound(UserError):
    """There is no experiment at this URL. Final."""


class MetricNotReported(UserError):
    """A trial ended and no trial has ever reported the metric that is tuned. Final."""


class PolicyError(UserError):
    """A search algorithm, scheduler or stopper broke its contract or raised. Final."""


class TrainableError(TuneError):
    """The user's training code failed; the message carries its traceback."""


class TrialFailed(TuneError):
    """A trial failed for good, and `fail_fast` ended the experiment; the message carries its error. Final."""


class AllTrialsFailed(TuneError):
    """Every trial failed for good; the message carries the first errors. Final."""


class InfrastructureError(TuneError):
    """A machine, a network or a service failed; retryable unless a subclass says otherwise."""


class RestoreError(InfrastructureError):
    """The checkpoint that a trial is to go on from cannot be fetched. Retryable."""


class ResourcesUnavailable(InfrastructureError):
    """No node of the cluster can ever hold one trial, or the cluster cannot be reached. Final."""


class StorageError(InfrastructureError):
    """The storage refused or did not answer within the retry budget."""


class CorruptJournalError(StorageError):
    """A stored object is torn, foreign, or of a newer format; the message names it. Final."""


class ExperimentFenced(InfrastructureError):
    """Another driver has taken over this experiment; this one must stop. Final for this driver."""


class InvalidTransition(TuneError):
    """A trial was told to do what its status does not allow: a bug of ours or of a custom executor. Final."""
