"""Uploads beside the training: what goes on meanwhile, and what waits for them."""

import contextlib
import shutil
import threading
from functools import partial
from pathlib import Path

import pytest

from tests.trainable.samples import Counter, iterations, make_host, run_to_halt
from tune_flows.core.errors import InfrastructureError, TrainableError, TuneError
from tune_flows.executors.simulated.memory_checkpoints import MemoryCheckpoints
from tune_flows.store import CheckpointStore
from tune_flows.trainable import Checkpoint, TrialInterrupted, get_checkpoint, report
from tune_flows.worker import AdvanceRequest, Outcome, StartTrial, StepClock

DEADLINE_S = 20

pytestmark = pytest.mark.timeout(60)


class Held:
    """A storage whose uploads wait until they are let go.

    Args:
        storage: Where they go then.
    """

    def __init__(self, storage):
        self.storage = storage
        self.story: list[str] = []
        """What happened: uploads begun and done, and what the trainables below add."""
        self.begun = threading.Event()
        self.go = threading.Event()
        self.error: Exception | None = None

    def save(self, trial_id, iteration, source, *, lease):
        self.story.append(f"begin {iteration}")
        self.begun.set()
        assert self.go.wait(DEADLINE_S)
        if self.error is not None:
            raise self.error
        saved = self.storage.save(trial_id, iteration, source, lease=lease)
        self.story.append(f"end {iteration}")
        return saved

    def restore(self, ref, target):
        self.storage.restore(ref, target)


@pytest.fixture(params=["memory", "store"])
def held(request, tmp_path):
    if request.param == "memory":
        return Held(MemoryCheckpoints())
    return Held(CheckpointStore(str(tmp_path / "experiment")))


@pytest.fixture
def make(held, tmp_path):
    """Hosts that leave nothing behind: no thread, no file."""
    hosts = []

    def make_beside(trainable, **options):
        defaults = {"checkpoints": held, "scratch": tmp_path / "scratch", "upload_beside": True}
        hosts.append(make_host(trainable, **(defaults | options)))
        return hosts[-1]

    yield make_beside
    held.go.set()
    for host in hosts:
        host.close()
        assert not host.is_stuck
    left = [thread for thread in threading.enumerate() if thread.name.startswith("tune-")]
    for thread in left:
        thread.join(10)
    assert not [thread for thread in left if thread.is_alive()]
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").iterdir())


def telling_counter(held, saving=None):
    """A class that tells what it does."""

    class Telling(Counter):
        def step(self):
            held.story.append(f"step {self.iteration + 1}")
            return super().step()

        def save_checkpoint(self, checkpoint_dir):
            held.story.append(f"save {self.iteration}")
            if saving is not None and self.iteration == saving[0]:
                saving[1].set()
            return super().save_checkpoint(checkpoint_dir)

    return Telling


def telling_function(held, saving=None, *, every=2):
    """A function that tells what it does, and reports a folder that it removes at once."""

    def train(config):
        restored, done = get_checkpoint(), 0
        if restored is not None:
            with restored.as_directory() as folder:
                done = int((folder / "deep" / "n").read_text())
        for n in range(done + 1, 100):
            held.story.append(f"step {n}")
            if n % every:
                report({"count": n})
                continue
            folder = Path(config["folder"])
            (folder / "deep").mkdir(parents=True)
            (folder / "deep" / "n").write_text(str(n))
            held.story.append(f"save {n}")
            if saving is not None and n == saving[0]:
                saving[1].set()
            report({"count": n}, checkpoint=Checkpoint.from_directory(folder))
            shutil.rmtree(folder)

    return train


@pytest.fixture(params=[telling_counter, telling_function], ids=["class", "function"])
def telling(request, held):
    def make_telling(*args):
        return request.param(held, *args)

    make_telling.is_class = request.param is telling_counter
    return make_telling


@pytest.fixture
def begin(make, tmp_path):
    """A host with a trial that saves at every second iteration."""

    def begin_trial(trainable, **options):
        host = make(trainable, **({"checkpoint_frequency": 2} | options))
        host.start(StartTrial("t", 1, {"folder": str(tmp_path / "mine")}))
        return host

    return begin_trial


@contextlib.contextmanager
def meanwhile(work):
    """Something that waits, on a thread of its own; its outcome is there after the block."""
    outcome = []
    thread = threading.Thread(target=lambda: outcome.append(work()))
    thread.start()
    yield outcome
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def to_the_fault(host, *request):
    """All batches of a trial that faults, and what is told of it."""
    batches = [host.advance(*request)] if request else []
    for _ in range(1000):
        try:
            batches.append(host.advance(None))
        except TuneError as error:
            return batches, error
    raise AssertionError("no fault")


def uploads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tune-upload-")]


def join_uploads():
    for thread in uploads():
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def saved_at(checkpoints):
    return [checkpoint.iteration for checkpoint in checkpoints]


def order(story, *lines):
    """The lines in the order in which they stand in the story."""
    return sorted(lines, key=story.index)


def test_training_goes_on_while_a_checkpoint_travels(begin, telling, held):
    host = begin(telling())
    batch = run_to_halt(host, AdvanceRequest(until=3))

    assert (iterations(batch), batch.outcome, batch.checkpoints) == ([1, 2, 3], Outcome.WAITS, ())
    assert held.begun.wait(DEADLINE_S)
    held.go.set()
    arrived = host.save()[0]
    assert arrived.iteration == 2

    host.start(StartTrial("t", 2, {"folder": "unused"}, iteration=3, checkpoint=arrived))
    assert run_to_halt(host, AdvanceRequest(until=3)).results == ()  # known, and done again
    assert held.story.count("step 3") == 2


def test_the_next_one_waits_for_it(begin, telling, held):
    saving = threading.Event()
    host = begin(telling((4, saving)))
    with meanwhile(lambda: run_to_halt(host, AdvanceRequest(until=5, save_at=5))):
        assert saving.wait(DEADLINE_S)
        held.go.set()

    told = ["save 4", "end 2", "begin 4", "end 4"]
    assert order(held.story, *reversed(told)) == told
    assert order(held.story, "step 5", "end 2") == ["end 2", "step 5"]


def test_what_must_be_durable_comes_with_its_result(begin, telling, held):
    host = begin(telling())
    with meanwhile(lambda: run_to_halt(host, AdvanceRequest(until=2, save_at=2))) as outcome:
        assert held.begun.wait(DEADLINE_S)
        held.go.set()
    (batch,) = outcome
    assert (iterations(batch), saved_at(batch.checkpoints)) == ([1, 2], [2])


def test_a_failed_upload_ends_the_trial_at_the_next_step(begin, telling, held):
    held.error = OSError("disk full")
    held.go.set()
    host = begin(telling())
    batches, error = to_the_fault(host, AdvanceRequest(until=90))
    assert isinstance(error, InfrastructureError)
    assert str(error) == "t: storing the checkpoint of iteration 2 failed: OSError: disk full"
    done = [n for batch in batches for n in iterations(batch)]
    assert done == list(range(1, len(done) + 1))
    assert 1 <= len(done) < 90
    assert host.finish(save=True) == ()  # it has ended


@pytest.mark.parametrize(
    "ask",
    [
        lambda host: host.save(),
        lambda host: host.finish(save=False),
        lambda host: host.finish(save=True),
        lambda host: host.advance(AdvanceRequest(until=3, config={}, checkpoint=None)),
    ],
    ids=["save", "finish", "save and finish", "clone"],
)
def test_a_failed_upload_is_told_where_it_is_waited_for(begin, telling, held, ask):
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=3))
    held.error = OSError("disk full")
    with meanwhile(held.go.set), pytest.raises(InfrastructureError, match="iteration 2 failed"):
        ask(host)


def test_a_failed_upload_is_told_at_the_next_step(begin, held):
    class Joining(telling_counter(held)):
        def step(self):
            if self.iteration == 2:
                held.go.set()
                join_uploads()
            return super().step()

    def train(config):
        report({"count": 1})
        report({"count": 2}, checkpoint=Checkpoint.from_dict({}))
        held.go.set()
        join_uploads()
        report({"count": 3})

    held.error = OSError("disk full")
    for trainable, last in ((Joining, 3), (train, 2)):
        held.go.clear()
        batches, error = to_the_fault(begin(trainable), AdvanceRequest())
        assert "iteration 2 failed" in str(error)
        assert [n for batch in batches for n in iterations(batch)] == list(range(1, last + 1))
    assert "step 4" not in held.story


def test_a_failed_upload_ends_a_trial_that_waits(begin, telling, held):
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=3))
    held.error = OSError("disk full")
    held.go.set()
    join_uploads()
    with pytest.raises(InfrastructureError, match="iteration 2 failed"):
        host.advance(None)


def test_a_function_only_sees_that_it_ends(begin, held):
    seen = []

    def train(config):
        try:
            while True:
                report({"x": 1}, checkpoint=Checkpoint.from_dict({}))
        except BaseException as error:
            seen.append(type(error))
            raise

    held.error = OSError("disk full")
    held.go.set()
    host = begin(train)
    assert "iteration 1 failed" in str(to_the_fault(host)[1])
    assert seen == [TrialInterrupted]


def test_an_interrupt_does_not_wait_but_a_save_does(begin, telling, held):
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=3))
    host.interrupt()
    assert run_to_halt(host, AdvanceRequest()).outcome is Outcome.INTERRUPTED
    with meanwhile(host.save) as outcome:
        held.go.set()
    assert saved_at(outcome[0])[0] == 2
    assert host.finish(save=False) == ()


@pytest.mark.parametrize("save", [False, True])
def test_the_end_waits(begin, telling, held, save):
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=3))
    with meanwhile(lambda: host.finish(save=save)) as outcome:
        held.go.set()
    is_class = telling.is_class
    assert saved_at(outcome[0]) == ([2, 3] if is_class and save else [2])


def test_completion_waits(begin, telling, held):
    host = begin(telling(), stop={"count": 3})
    with meanwhile(lambda: run_to_halt(host, AdvanceRequest())) as outcome:
        assert held.begun.wait(DEADLINE_S)
        held.go.set()
    (batch,) = outcome
    assert (batch.outcome, iterations(batch)[-1], saved_at(batch.checkpoints)) == (Outcome.COMPLETED, 3, [2])


def test_a_fault_waits(begin, held):
    class Faulty(Counter):
        def step(self):
            if self.iteration == 3:
                raise ValueError("boom")
            return super().step()

    def train(config):
        for n in range(1, 4):
            report({"n": n}, checkpoint=Checkpoint.from_dict({}) if n == 2 else None)
        raise ValueError("boom")

    for trainable in (Faulty, train):
        held.go.clear()
        held.begun.clear()
        host = begin(trainable)
        with meanwhile(partial(to_the_fault, host)) as outcome:
            assert held.begun.wait(DEADLINE_S)
            held.go.set()
        ((batches, error),) = outcome
        assert isinstance(error, TrainableError)
        assert saved_at([ref for batch in batches for ref in batch.checkpoints]) == [2]


def test_a_fault_in_a_last_save_comes_after_what_had_arrived(begin, held):
    class Faulty(Counter):
        def save_checkpoint(self, checkpoint_dir):
            if self.iteration == 3:
                raise ValueError("boom")
            return super().save_checkpoint(checkpoint_dir)

    host = begin(Faulty)
    run_to_halt(host, AdvanceRequest(until=3))
    held.go.set()
    assert saved_at(host.save()) == [2]
    with pytest.raises(TrainableError, match="boom"):
        host.finish(save=False)
    assert host.finish(save=False) == ()


def test_a_clone_waits(begin, telling, held, tmp_path):
    host = begin(telling())
    held.go.set()
    (source,) = run_to_halt(host, AdvanceRequest(until=2, save_at=2)).checkpoints
    held.go.clear()
    run_to_halt(host, AdvanceRequest(until=5))
    assert "end 4" not in held.story
    clone = AdvanceRequest(until=6, config={"folder": str(tmp_path / "clone")}, checkpoint=source)
    with meanwhile(lambda: run_to_halt(host, clone)) as outcome:
        held.go.set()
    assert saved_at(outcome[0].checkpoints)[0] == 4
    assert outcome[0].results[0].metrics == {"count": 3}  # the source's third is the clone's sixth
    before = held.story[: held.story.index("end 4")]
    assert "step 5" in before
    assert "step 6" not in before
    assert before.count("step 3") == 1


def test_the_next_trial_waits(begin, telling, held):
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=3))
    with meanwhile(lambda: host.start(StartTrial("u", 1, {}, keep_from=True))):
        held.go.set()
    assert held.story[-1] == "end 2"


def test_a_function_that_waits_to_send_is_not_stuck(begin, held):
    ended = threading.Event()

    def train(config):
        try:
            report({"x": 1}, checkpoint=Checkpoint.from_dict({}))
            report({"x": 2}, checkpoint=Checkpoint.from_dict({}))
        finally:
            ended.set()

    host = begin(train, join_timeout_s=DEADLINE_S)
    host.advance(AdvanceRequest(), batch_s=0.001)
    assert held.begun.wait(DEADLINE_S)
    with meanwhile(lambda: host.finish(save=False)):
        assert ended.wait(DEADLINE_S)  # while the first one is still held
        held.go.set()
    assert not host.is_stuck
    assert "begin 2" not in held.story


def test_a_checkpoint_never_comes_before_its_result(begin, held):
    held.go.set()
    reached = threading.Event()
    go = threading.Event()

    class Gate:
        """A storage that is done before `report` goes on."""

        def save(self, *args, **kwargs):
            saved = held.save(*args, **kwargs)
            reached.set()
            go.wait(DEADLINE_S)
            return saved

    def train(config):
        report({"x": 1}, checkpoint=Checkpoint.from_dict({}))
        report({"x": 2}, checkpoint=Checkpoint.from_dict({}))

    host = begin(train, checkpoints=Gate(), upload_beside=False)
    batch = host.advance(AdvanceRequest(), batch_s=0.001)
    assert reached.wait(DEADLINE_S)
    assert (batch.results, batch.checkpoints) == ((), ())
    go.set()
    batch = run_to_halt(host, None)
    assert (iterations(batch), saved_at(batch.checkpoints)) == ([1, 2], [1, 2])


def test_a_checkpoint_that_arrives_soon_beside_a_long_step_comes_with_it(make, held):
    held.go.set()
    days = iter(range(0, 10**9, 86_400))
    host = make(Counter, checkpoint_frequency=1, clock=StepClock(timer=lambda: float(next(days))))
    host.start(StartTrial("t", 1, {}))
    for iteration in (1, 2, 3):
        batch = host.advance(AdvanceRequest(until=9), batch_s=0)
        assert (iterations(batch), saved_at(batch.checkpoints)) == ([iteration], [iteration])


def test_closing_gives_an_upload_up(held, tmp_path):
    host = make_host(
        Counter,
        checkpoints=held,
        checkpoint_frequency=2,
        upload_beside=True,
        join_timeout_s=0.01,
        scratch=tmp_path / "s",
    )
    host.start(StartTrial("t", 1, {}))
    host.advance(AdvanceRequest(until=3))
    assert held.begun.wait(DEADLINE_S)
    host.close()
    assert list((tmp_path / "s").iterdir()) == []
    assert uploads()
    held.go.set()
    join_uploads()


def test_what_was_uploaded_leaves_no_copy_behind(begin, telling, held, tmp_path):
    held.go.set()
    host = begin(telling())
    run_to_halt(host, AdvanceRequest(until=8, save_at=8))
    host.save()
    assert held.story.count("end 8") == 1
    assert not list((tmp_path / "scratch").rglob("checkpoint-*"))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder), "expected a directory"),
        (lambda folder: (folder / "up").symlink_to(folder.parent), "a symbolic link to a directory above it"),
        (lambda folder: (folder / "gone").symlink_to(folder / "nowhere"), "copying the reported checkpoint"),
    ],
)
def test_a_folder_that_cannot_be_copied(begin, held, tmp_path, damage, message):
    def train(config):
        folder = tmp_path / "mine"
        folder.mkdir()
        checkpoint = Checkpoint.from_directory(folder)
        damage(folder)
        report({"x": 1}, checkpoint=checkpoint)

    held.go.set()
    with pytest.raises(InfrastructureError, match=message):
        run_to_halt(begin(train), AdvanceRequest())


def test_values_are_noted_with_each_checkpoint(begin, held):
    class Rich(Counter):
        def step(self):
            bad = [float("nan"), "text", True, None, 10**400, 0.5]
            return {**super().step(), "loss": bad[self.iteration]}

    held.go.set()
    names = ["count", "loss", "training_iteration", "never"]
    host = begin(Rich, checkpoint_metrics=names, checkpoint_frequency=1, upload_beside=False)
    *refs, last = run_to_halt(host, AdvanceRequest(until=6)).checkpoints
    assert [ref.metrics for ref in refs] == [
        {"count": float(n), "training_iteration": float(n)} for n in range(1, 6)
    ]
    assert last.metrics == {"count": 6.0, "loss": 0.5, "training_iteration": 6.0}

    host = begin(Rich, checkpoint_metrics=["count"], checkpoint_frequency=0)
    run_to_halt(host, AdvanceRequest(until=3))
    assert [ref.metrics for ref in host.save()] == [{"count": 3.0}]
    assert begin(Rich, checkpoint_metrics=["count"]).finish(save=True)[0].metrics == {}
