"""Captures what user code prints and logs in a worker, as a bounded number of lines."""

from tune_flows.worker.output.capture import Capture
from tune_flows.worker.output.line import Line, Output
from tune_flows.worker.output.log_file import LogPlace, lines_since

__all__ = ["Capture", "Line", "LogPlace", "Output", "lines_since"]
