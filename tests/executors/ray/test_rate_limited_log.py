"""Output lines go to the log at a bounded rate, and what is left out is counted."""

from collections.abc import Callable

from tune_flows.executors.ray.rate_limited_log import Quota, RateLimitedLog, total_quota
from tune_flows.worker.output import Line


class Time:
    """A clock that goes on only when it is told to, and calls back then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        self.calls.append((self.now + delay_s, call))

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [one for one in self.calls if one[0] <= end]:
            first = min(due, key=lambda one: one[0])
            self.calls.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


class Log:
    """What was written."""

    def __init__(self, time: Time, total: Quota | None = None) -> None:
        self.texts: list[str] = []
        self.outlet = RateLimitedLog(self, total or total_quota(time), clock=time, later=time.later)

    def wants(self, level: int) -> bool:
        return level >= 20

    def write(self, line: Line) -> None:
        self.texts.append(line.text)


def lines(begin: int, end: int) -> list[Line]:
    return [Line("trial", 0.0, 20, "stdout", str(number)) for number in range(begin, end)]


def gap(number: int) -> Line:
    return Line("trial", 0.0, 20, "stdout", "", number)


def test_lines_go_at_once():
    log = Log(Time())
    log.outlet.hear(lines(0, 100))
    assert log.texts == [str(number) for number in range(100)]


def test_what_is_too_much_waits_a_little_and_what_is_far_too_much_is_counted():
    time = Time()
    log = Log(time)
    log.outlet.hear(lines(0, 1000))
    assert log.texts == [str(number) for number in range(100)]
    time.pass_by(60)
    assert log.texts[100:] == ["[850 lines left out]", *(str(number) for number in range(950, 1000))]
    assert time.calls == []


def test_the_rate_holds_over_a_long_time():
    time = Time()
    log = Log(time)
    for second in range(60):
        log.outlet.hear(lines(second * 1000, (second + 1) * 1000))
        time.pass_by(1)
    log.outlet.flush()
    assert 600 < len(log.texts) <= 100 + 60 * 10 + 51
    told = sum(int(text[1:].split()[0].replace(",", "")) for text in log.texts if text.startswith("["))
    assert told + sum(not text.startswith("[") for text in log.texts) == 60_000
    assert log.texts[-1] == "59999"


def test_an_end_does_not_wait():
    log = Log(Time())
    log.outlet.hear(lines(0, 1000))
    log.outlet.flush()
    assert log.texts[100:] == ["[850 lines left out]", *(str(number) for number in range(950, 1000))]


def test_many_task_runs_share_one_rate():
    time = Time()
    total = total_quota(time)
    logs = [Log(time, total) for _ in range(50)]
    for log in logs:
        log.outlet.hear(lines(0, 100))
    assert sum(len(log.texts) for log in logs) == 500
    for log in logs:
        log.outlet.flush()
    assert logs[-1].texts == ["[95 lines left out]", "95", "96", "97", "98", "99"]


def test_lines_that_the_worker_left_out_are_counted_where_they_were():
    log = Log(Time())
    log.outlet.hear([*lines(0, 2), gap(7), gap(3), *lines(12, 13)])
    assert log.texts == ["0", "1", "[10 lines left out]", "12"]
    log.outlet.hear([gap(1)])
    assert log.texts[4:] == []
    log.outlet.flush()
    assert log.texts[4:] == ["[1 line left out]"]


def test_what_nobody_wants_counts_nowhere():
    log = Log(Time())
    log.outlet.hear(line._replace(level=10) for line in lines(0, 1000))
    log.outlet.hear(lines(0, 1))
    log.outlet.flush()
    assert log.texts == ["0"]
