"""The peer's side of the section `resume`.

Running 10,000 trials by Ray Tune takes hours, so `make` does what a run does without starting actors: Ray's
own search algorithm creates the trials, Ray's own Trainable makes the results, Ray's own controller processes
them (stop criterion, scheduler, result.json of each trial), saves the experiment's state and uploads all.
"""

import logging
import os
import shutil
import time
import traceback
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

import ray
from ray import tune
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Experiment, Trial
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import BasicVariantGenerator

NAME = "interrupted"
STEPS = 20
LEFT = 20
"""Trials in the middle of their training, as in our own experiment with its 20 slots."""


class Ramp(tune.Trainable):
    """What the simulator trains on our side."""

    def setup(self, config):
        self.slope = config["x"]

    def step(self):
        return {"score": self.slope * self.iteration}


class TrialsAreBack(Exception):
    """Ends the resumed run where the measurement ends."""


class Stopwatch(tune.Callback):
    """Ray calls `setup` when the controller holds all trials again, before it starts any."""

    def setup(self, **info):
        raise TrialsAreBack


def make(trials, folder):
    """An interrupted experiment, as twice as many trials would have left it half-way."""
    with own_ray():
        space, stop, samples = (
            {"x": tune.uniform(0, 1), "layers": 2},
            {"training_iteration": STEPS},
            2 * trials,
        )
        tune.Tuner(  # writes tuner.pkl
            Ramp,
            param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="max", num_samples=samples),
            run_config=tune.RunConfig(
                name=NAME, stop=stop, storage_path=folder, verbose=0, callbacks=[Stopwatch()]
            ),
        )
        experiment = Experiment(NAME, Ramp, stop=stop, config=space, num_samples=samples, storage_path=folder)
        search_alg = BasicVariantGenerator()
        search_alg.add_configurations([experiment])
        controller = TuneController(
            search_alg=search_alg,
            storage=experiment.storage,
            callbacks=[JsonLoggerCallback()],
            metric="score",
            checkpoint_period=float("inf"),
        )
        controller.setup_experiments([experiment], search_alg.total_samples)
        for number in range(trials + LEFT):
            train(controller, steps=STEPS if number < trials else STEPS // 2)
        controller.checkpoint(force=True, wait=True)
        forget_staged(controller)
    return {}


def train(controller, *, steps):
    """What a controller does with a trial, from its creation on."""
    controller._update_trial_queue()
    trial = controller.get_trials()[-1]
    controller._set_trial_status(trial, Trial.RUNNING)
    trial.init_local_path()
    controller._callbacks.on_trial_start(iteration=0, trials=[], trial=trial)
    trainable = Ramp(trial.config)
    decision = TrialScheduler.CONTINUE
    for _ in range(steps):
        decision = controller._process_trial_result(trial, trainable.train())
    if decision == TrialScheduler.STOP:
        controller._set_trial_status(trial, Trial.TERMINATED)
        controller._callbacks.on_trial_complete(iteration=0, trials=[], trial=trial)


def resume(trials, folder):
    """`Tuner.restore`, then `fit` until the controller holds the trials; Ray itself is up before."""
    with own_ray():
        began, cpu = time.perf_counter(), time.process_time()
        tuner = tune.Tuner.restore(str(Path(folder, NAME)), Ramp)
        restored = time.perf_counter()
        try:
            tuner.fit()
        except TrialsAreBack as error:
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
            controller = controller_in(error)
        forget_staged(controller)
    trials = controller.get_trials()
    return {
        "trials": len(trials),
        "results": sum(len(result.metrics_dataframe) for result in tuner.get_results()),
        "left": sum(not trial.is_finished() for trial in trials),
        "seconds": seconds,
        "restore_s": restored - began,
        "cpu_s": cpu,
    }


def controller_in(error):
    """The controller that was about to run; one that could not restore would begin anew, and only log it."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    controller = next(frame.f_locals["runner"] for frame in frames if "runner" in frame.f_locals)
    assert controller.resumed
    return controller


def forget_staged(controller):
    """Remove what Ray leaves in its folder of temporary files."""
    shutil.rmtree(controller._storage.experiment_driver_staging_path)


@contextmanager
def own_ray():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    yield
    ray.shutdown()
