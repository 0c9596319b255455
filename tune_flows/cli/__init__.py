"""The command line `tune-flows`: runs, inspects, stops and resumes experiments.

Rules of this package:

- Read-only commands need neither Ray nor Prefect. Heavy modules are imported by the command that uses them.
- Standard output holds only the answer; messages about it go to standard error.
- An error is one line and an exit code of `tune_flows.cli.exits`; `--debug` shows the traceback.
"""

from tune_flows.cli.app import main

__all__ = ["main"]
