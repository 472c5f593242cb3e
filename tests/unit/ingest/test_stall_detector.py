"""A line that has begun has to go on; nothing else is asked of a sender's speed."""

from __future__ import annotations

from llmledgerd.ingest.stall_detector import Progress

MINUTE = 60.0


def look(progress: Progress, received: int, held: int, seconds: float = 1.0) -> bool:
    return progress.is_stalled(seconds, received, held, MINUTE)


def test_silence_between_lines_is_never_a_stall() -> None:
    progress = Progress()
    assert not any(look(progress, 500, 0, seconds=3600) for _ in range(100))


def test_a_line_that_was_begun_and_is_left_is_a_stall_after_the_timeout() -> None:
    progress = Progress()
    assert [look(progress, 500, 100) for _ in range(62)].index(True) == 60


def test_a_line_that_somebody_types_goes_on() -> None:
    progress = Progress()
    assert not any(look(progress, typed, typed, seconds=50) for typed in range(1, 100))


def test_a_byte_a_minute_keeps_no_more_than_128_bytes() -> None:
    progress = Progress()
    looks = [look(progress, 1 + second // 59, 1 + second // 59) for second in range(59 * 500)]
    assert looks.index(True) // 59 in range(100, 130)


def test_what_is_held_of_a_long_line_has_to_grow_by_a_64th() -> None:
    held = 100 << 20
    enough, too_little = Progress(), Progress()
    for second in range(200):
        assert not look(enough, held + second * held // 64 // 50, held + second * held // 64 // 50)
    stalled = [look(too_little, held + second * held // 64 // 70, held) for second in range(200)]
    assert any(stalled)


def test_a_line_that_ended_is_progress_whatever_was_held_before() -> None:
    progress = Progress()
    look(progress, 100 << 20, 100 << 20)
    look(progress, 100 << 20, 100 << 20, seconds=59)
    assert not look(progress, (100 << 20) + 7, 5), "the short one has just begun"
    assert not look(progress, (100 << 20) + 7, 5, seconds=59)
    assert look(progress, (100 << 20) + 7, 5)


def test_time_in_which_the_daemon_did_not_read_does_not_count() -> None:
    progress = Progress()
    look(progress, 500, 100)
    look(progress, 500, 100, seconds=59)
    progress.restart()
    assert not look(progress, 500, 100, seconds=59)
    assert not look(progress, 500, 100, seconds=59)
    assert look(progress, 500, 100)
