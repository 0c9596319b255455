import subprocess
import sys

PROGRAM = """
import sys, tune_flows.store as store
local = store.ObjectStore(sys.argv[1])
local.check_writable()
store.Journal.open(local, writer="x").create_header({})
print([name for name in ("fsspec", "s3fs", "pandas", "pyarrow", "pydantic", "numpy") if name in sys.modules])
"""


def test_a_worker_on_local_storage_loads_nothing_heavy(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
