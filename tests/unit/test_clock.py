"""The time goes on where the machine's clock does not, and no jump of it is believed without a word."""

from __future__ import annotations

import random

from llmledgerd.clock import APART_US, JUMP_US, WRITTEN_US, Step, Timekeeper

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
NOW_US = 1_800_000_000 * SECOND_US
OFF_US = 400 * DAY_US


class Machine:
    """A machine with a clock that can be set, and a timekeeper on it."""

    def __init__(self, wall_us: int = NOW_US) -> None:
        self.wall_us = wall_us
        self.monotonic = 5.0
        self.keeper = Timekeeper()

    def passes(self, seconds: float = 1.0) -> None:
        self.wall_us += int(seconds * 1e6)
        self.monotonic += seconds

    def set_by(self, by_us: int) -> None:
        self.wall_us += by_us

    @property
    def now_us(self) -> int:
        return self.keeper.now_us(self.wall_us, self.monotonic)

    def goes_on_from(self, last_us: int, agreed_us: int = 0) -> None:
        self.keeper.go_on_from(last_us, agreed_us, self.wall_us, self.monotonic)

    def hears(self, store_us: int) -> None:
        self.keeper.heard(store_us, self.wall_us, self.monotonic)


def test_a_clock_that_is_well_is_left_alone() -> None:
    machine = Machine()
    machine.goes_on_from(NOW_US - DAY_US)
    for _ in range(100):
        machine.passes()
        machine.set_by(random.Random(1).randint(-JUMP_US // 2, JUMP_US // 2))
        assert machine.now_us == machine.wall_us
        machine.hears(machine.wall_us + APART_US // 2)
    assert (machine.keeper.jumps, machine.keeper.steps) == (0, [])


def test_a_start_before_the_spool_s_last_time_goes_on_from_there() -> None:
    machine = Machine(NOW_US - OFF_US)
    machine.goes_on_from(NOW_US)
    machine.passes(3)
    assert machine.now_us == NOW_US + 3 * SECOND_US
    assert machine.keeper.jumps == 1


def test_a_clock_that_is_set_back_is_not_followed_and_said_once() -> None:
    machine = Machine()
    assert machine.now_us == NOW_US
    machine.set_by(-OFF_US)
    machine.passes()
    assert machine.now_us == NOW_US + SECOND_US
    machine.passes()
    assert machine.now_us == NOW_US + 2 * SECOND_US
    assert machine.keeper.jumps == 1


def test_a_clock_that_is_set_forward_is_followed_as_after_a_suspend_and_said() -> None:
    machine = Machine()
    assert machine.now_us == NOW_US
    machine.set_by(OFF_US)
    machine.passes()
    assert machine.now_us == NOW_US + OFF_US + SECOND_US
    (step,) = machine.keeper.steps
    assert step.after_us - step.before_us == OFF_US


def test_a_store_is_believed_where_only_it_can_tell() -> None:
    for off in (-300 * DAY_US, OFF_US):
        machine = Machine(NOW_US + off)
        machine.goes_on_from(0)
        assert machine.now_us == NOW_US + off
        machine.hears(NOW_US)
        machine.passes()
        assert machine.now_us == NOW_US + SECOND_US
        assert machine.keeper.jumps == 1
        assert machine.keeper.agreed_us == WRITTEN_US


def test_a_store_brings_back_the_time_of_a_spool_that_has_seen_the_future() -> None:
    machine = Machine()
    machine.goes_on_from(NOW_US + OFF_US, agreed_us=NOW_US - DAY_US)
    assert machine.now_us == NOW_US + OFF_US
    machine.hears(NOW_US)
    assert machine.now_us == NOW_US
    assert machine.keeper.agreed_us == NOW_US


def test_a_store_whose_clock_is_before_what_was_certain_is_not_believed() -> None:
    machine = Machine()
    machine.hears(NOW_US)
    machine.passes()
    machine.hears(NOW_US - OFF_US)
    assert machine.now_us == NOW_US + SECOND_US
    assert machine.keeper.jumps == 0


def test_neither_a_machine_nor_a_store_is_believed_that_says_less_than_when_this_was_written() -> None:
    machine = Machine(DAY_US)
    machine.goes_on_from(0)
    assert machine.now_us == WRITTEN_US
    machine.hears(2 * DAY_US)
    assert machine.now_us == WRITTEN_US
    machine.hears(NOW_US)
    assert machine.now_us == NOW_US


def test_an_embedded_store_on_the_same_wrong_clock_proves_nothing() -> None:
    machine = Machine(NOW_US - OFF_US)
    machine.goes_on_from(NOW_US, agreed_us=NOW_US)
    machine.hears(machine.wall_us)
    assert machine.now_us == NOW_US


def test_a_clock_that_is_mended_is_gone_by_again() -> None:
    machine = Machine(NOW_US - OFF_US)
    machine.goes_on_from(NOW_US)
    machine.hears(NOW_US)
    machine.set_by(OFF_US)  # the network's time has come
    machine.hears(NOW_US)
    assert (machine.now_us, machine.keeper.correction_us) == (NOW_US, 0)


def test_a_clock_that_jumps_back_and_forth_never_takes_the_time_before_what_was_agreed() -> None:
    dice = random.Random(8)
    for _ in range(300):
        machine, true_us = Machine(), NOW_US
        machine.goes_on_from(NOW_US - DAY_US)
        machine.hears(true_us)
        for _ in range(20):
            before = machine.now_us
            machine.set_by(dice.choice((0, 0, -OFF_US, OFF_US, -DAY_US, DAY_US)))
            machine.passes()
            true_us += SECOND_US
            assert machine.now_us >= before
            machine.hears(true_us)
            assert abs(machine.now_us - true_us) <= APART_US


def test_what_is_remembered_stays_as_long_ago_as_it_was() -> None:
    forward = Step(NOW_US, NOW_US + OFF_US, "")
    assert forward.moved(NOW_US - 5) == NOW_US + OFF_US - 5
    assert forward.moved(NOW_US + OFF_US + 1) == NOW_US + OFF_US + 1  # seen since
    back = Step(NOW_US + OFF_US, NOW_US, "")
    assert back.moved(NOW_US + OFF_US - 5) == NOW_US - 5
    assert back.moved(NOW_US - 5) == NOW_US - 5
