"""What both sides of the section `recovery` train, and who kills it."""

import os
import signal
import threading
import time
from pathlib import Path

PAUSE_S = 0.05
STEPS_BETWEEN = 20
"""Steps that a worker does before it is killed: a checkpoint is durable by then."""
TOO_LONG_S = 120.0


def step(folder):
    """Note that a step begins, and take it; whether it was the last one."""
    with Path(folder, "steps").open("a") as steps:
        steps.write(f"{os.getpid()} {time.time()}\n")
    time.sleep(PAUSE_S)
    return Path(folder, "enough").exists()


class Killer:
    """Kills the worker of the only trial so often, then says that it is enough."""

    def __init__(self, folder, kills):
        self._folder = Path(folder)
        self._kills = kills
        self._thread = threading.Thread(target=self._kill_all)
        self._error = None
        self.gaps = []
        """Seconds from each kill to the first step of the next worker."""

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *about):
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _kill_all(self):
        try:
            for _ in range(self._kills):
                pid = self._until(lambda steps: len(steps) >= STEPS_BETWEEN)[0][0]
                os.kill(pid, signal.SIGKILL)
                killed = time.time()
                began = self._until(lambda steps, pid=pid: steps and steps[0][0] != pid)[0][1]
                self.gaps.append(began - killed)
        except Exception as error:
            self._error = error
        finally:
            Path(self._folder, "enough").touch()

    def _until(self, condition):
        """Process and time of each step of the newest process, as soon as they are as wanted."""
        limit = time.monotonic() + TOO_LONG_S
        while time.monotonic() < limit:
            steps = self._steps()
            newest = [step for step in steps if step[0] == steps[-1][0]]
            if condition(newest):
                return newest
            time.sleep(0.005)
        raise TimeoutError(f"the trial does not get on; so far: {self.gaps}")

    def _steps(self):
        file = self._folder / "steps"
        lines = file.read_text().splitlines() if file.exists() else []
        pairs = [line.split() for line in lines]
        return [(int(pair[0]), float(pair[1])) for pair in pairs if len(pair) == 2]
