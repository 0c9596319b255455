"""The command line `tune-flows`: runs experiments, looks at them, stops them and carries them on.

Rules of this package:

- Commands that only look need neither Ray nor Prefect. What is heavy is loaded by the command that uses it.
- Standard output is the answer and nothing else; what is said about it goes to standard error.
- Whatever goes wrong is one line and an exit code of `tune_flows.cli.exits`; `--debug` shows the traceback.
"""

from tune_flows.cli.app import main

__all__ = ["main"]
