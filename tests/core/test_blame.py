import pytest

from tune_flows.core.blame import classify_error
from tune_flows.core.errors import InfrastructureError, RestoreError, StorageError, TrainableError
from tune_flows.core.events import FaultKind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TrainableError, FaultKind.TRAINABLE),
        (ValueError, FaultKind.TRAINABLE),
        (InfrastructureError, FaultKind.INFRASTRUCTURE),
        (StorageError, FaultKind.INFRASTRUCTURE),
        (RestoreError, FaultKind.RESTORE),
    ],
)
def test_whose_fault_by_the_class_of_the_error(error: type[Exception], kind: FaultKind):
    assert classify_error(error("boom\n\nTraceback: here\n")) == (kind, "boom", "Traceback: here")
    assert classify_error(error("boom")) == (kind, "boom", "")
    assert classify_error(error()) == (kind, "no message", "")
