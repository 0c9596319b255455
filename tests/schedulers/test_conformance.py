from tune_flows.core.space import randint
from tune_flows.schedulers import (
    ASHAScheduler,
    FIFOScheduler,
    HyperBandScheduler,
    PopulationBasedTraining,
    TrialScheduler,
)
from tune_flows.testing.scheduler import TrialSchedulerConformance


class TestFIFO(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return FIFOScheduler()


class TestASHA(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return ASHAScheduler(max_t=27, reduction_factor=3)


class TestASHAWithBrackets(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return ASHAScheduler(
            max_t=20, grace_period=2, reduction_factor=2.5, brackets=3, stop_last_trials=False
        )


class TestASHAByTime(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return ASHAScheduler(time_attr="time_total_s", max_t=27, reduction_factor=3, brackets=2, seed=3)


class TestHyperBand(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return HyperBandScheduler(max_t=9)


class TestHyperBandWithoutEnd(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return HyperBandScheduler(max_t=20, reduction_factor=2.5, stop_last_trials=False)


class TestPBT(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return PopulationBasedTraining(perturbation_interval=4)


class TestPBTAfterBurnIn(TrialSchedulerConformance):
    def make(self) -> TrialScheduler:
        return PopulationBasedTraining(
            perturbation_interval=3,
            burn_in_period=10,
            quantile_fraction=0.5,
            hyperparam_mutations={
                "model": {"n": randint(1, 6)},
                "kind": ["a", "b"],
            },
            seed=5,
        )
