"""Runs the command line as `python -m tune_flows`, where `tune-flows` is not on the path."""

import sys

from tune_flows.cli import main

if __name__ == "__main__":
    sys.exit(main())
