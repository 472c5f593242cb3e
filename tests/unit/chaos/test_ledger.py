"""The judge of the chaos runs sees what is lost, repeated and unknown, and excuses only what it may."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.chaos.ledger import Amnesty, Death, Landed, Ledger, Pen, Verdict, judge

SESSION = "00000000-0000-4000-8000-000000000001"


def verdict(
    folder: Path,
    entries: str,
    rows: dict[str, int],
    *,
    letters: dict[str, int] | None = None,
    died: int = 0,
    deaths: tuple[Death, ...] = (),
    killed: tuple[str, ...] = (),
) -> Verdict:
    pen = Pen(folder, "a")
    for entry in filter(None, entries.split(", ")):
        pen.write(entry)
    pen.close()
    ledger = Ledger(folder)
    ledger.poll()
    landed = Landed(rows=rows, letters=letters or {}, sender_died={SESSION: died})
    return judge(ledger, landed, deaths, killed)


def test_what_was_called_durable_and_is_not_there_is_lost(tmp_path: Path) -> None:
    found = verdict(tmp_path, "offer 3, taken 1, taken 2, taken 3, durable 2", {"a-1": 1})
    assert found.lost == ["a-2"]


def test_what_was_never_called_durable_may_be_there_or_not(tmp_path: Path) -> None:
    assert verdict(tmp_path, "offer 2, taken 1, taken 2, durable 1", {"a-1": 1}).is_clean
    assert verdict(tmp_path, "", {"a-1": 1, "a-2": 1}).is_clean


def test_two_rows_or_a_row_and_a_dead_letter_are_a_repeat(tmp_path: Path) -> None:
    found = verdict(tmp_path, "offer 2, taken 1, bad 2", {"a-1": 2, "a-2": 1}, letters={"a-2": 1})
    assert found.repeated == ["a-1", "a-2"]


def test_a_bad_line_has_to_be_a_dead_letter(tmp_path: Path) -> None:
    assert verdict(tmp_path, "offer 1, bad 1, durable 1", {"a-1": 1}).lost == ["a-1"]


def test_an_id_that_nobody_has_sent_is_unknown(tmp_path: Path) -> None:
    assert verdict(tmp_path, "offer 1", {"a-2": 1, "b-1": 1}).unknown == ["a-2", "b-1"]


def test_a_one_way_record_is_excused_by_a_death_soon_after_it_alone(tmp_path: Path) -> None:
    assert verdict(tmp_path, "offer 1, oneway 100.0 100.1 True 1 1", {}).lost == ["a-1"]
    assert verdict(tmp_path, "", {}, deaths=(Death(100.5, 101.0),)).excused == 1
    assert verdict(tmp_path, "", {}, deaths=(Death(110.0, 111.0), Death(90.0, 99.0))).lost


def test_a_begun_call_that_was_flushed_needs_a_row(tmp_path: Path) -> None:
    found = verdict(tmp_path, "offer 2, begun 1, flushed, begun 2", {})
    assert found.unsettled == ["a-1"]


def test_a_sender_that_was_killed_is_to_be_in_the_ledger_of_losses_once(tmp_path: Path) -> None:
    entries = f"session {SESSION}, offer 1, taken 1, durable 1"
    rows = {"a-1": 1}
    assert verdict(tmp_path, entries, rows, killed=("a",)).deaths
    assert verdict(tmp_path, "", rows, killed=("a",), died=2).deaths
    assert verdict(tmp_path, "", rows, killed=("a",), died=1).is_clean
    assert verdict(tmp_path, "", rows, died=1).other == ["a lived and did not end"]
    assert verdict(tmp_path, "ended", rows, died=1).deaths


def test_an_entry_that_a_kill_cut_off_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.ledger").write_bytes(b"offer 2\ntaken 1\ndur")
    ledger = Ledger(tmp_path)
    ledger.poll()
    assert ledger.lives["a"].taken == [1]
    with (tmp_path / "a.ledger").open("ab") as stream:
        stream.write(b"able 1\n")
    ledger.poll()
    assert ledger.durable == 1


class Run:
    """One sender's ledger, what has landed so far, and what was destroyed."""

    def __init__(self, folder: Path) -> None:
        self.pen = Pen(folder, "a")
        self.ledger = Ledger(folder)
        self.amnesty = Amnesty()

    def says(self, entries: str) -> None:
        for entry in entries.split(", "):
            self.pen.write(entry)
        self.ledger.poll()

    def judged(self, *calls: str, died: int = 0, dropped: int = 0, letters: tuple[str, ...] = ()) -> Verdict:
        landed = self.landed(*calls, died=died, dropped=dropped, letters=letters)
        return judge(self.ledger, landed, (), ("a",), self.amnesty)

    @staticmethod
    def landed(*calls: str, died: int = 0, dropped: int = 0, letters: tuple[str, ...] = ()) -> Landed:
        return Landed(
            rows=Counter(calls), letters=Counter(letters), sender_died={SESSION: died}, dropped=dropped
        )


def test_a_wiped_spool_takes_along_what_was_durable_in_it_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.says(f"session {SESSION}, offer 9, taken 1, taken 2, taken 3, bad 4, taken 5, durable 4")
    run.amnesty.spool_wiped(run.ledger, run.landed("a-1", "a-2", letters=("a-4",)), ())
    run.says("taken 6, durable 6")
    found = run.judged("a-1", "a-5", died=1)
    assert (found.lost, found.gone) == (["a-2", "a-6"], 2)
    assert run.judged("a-1", "a-1", "a-2", "a-5", "a-6", died=1).repeated == ["a-1"]


def test_a_death_before_the_spool_was_wiped_may_be_forgotten_and_a_later_one_may_not(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.says(f"session {SESSION}, offer 9, taken 1, durable 1")
    run.amnesty.spool_wiped(run.ledger, run.landed("a-1"), ())
    assert run.judged("a-1").is_clean
    assert run.judged("a-1", died=1).is_clean
    run.says("taken 2, durable 2")
    assert run.judged("a-1", "a-2").deaths


def test_a_dropped_database_takes_along_what_was_stored_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.says("offer 9, taken 1, taken 2, durable 2")
    run.amnesty.database_dropped(run.ledger, run.landed("a-1"))
    assert run.judged("a-2").is_clean
    assert run.judged().lost == ["a-2"]


def test_no_more_may_be_missing_than_a_full_spool_says_it_dropped(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.says("offer 9, taken 1, taken 2, taken 3, durable 3")
    run.amnesty.oldest_dropped(run.ledger, run.landed("a-1"), ())
    run.says("taken 4, durable 4")
    assert run.judged("a-1", "a-4", dropped=2).is_clean
    assert run.judged("a-1", "a-4", dropped=1).lost == ["1 more than the spool says it dropped"]
    assert run.judged("a-1", "a-2", "a-3", dropped=2).lost == ["a-4"]
