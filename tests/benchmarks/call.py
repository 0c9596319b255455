"""Calls a function of a module here, and prints what it returns with the seconds that the import took.

python -m tests.benchmarks.call MODULE FUNCTION TRIALS URL
"""

import importlib
import json
import sys
import time

if __name__ == "__main__":
    module, function, trials, url = sys.argv[1:]
    began = time.perf_counter()
    imported = importlib.import_module(f"tests.benchmarks.{module}")
    seconds = time.perf_counter() - began
    print(json.dumps({**getattr(imported, function)(int(trials), url), "import_s": seconds}), flush=True)
