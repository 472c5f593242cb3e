"""Each way in which the daemon could be broken is caught by a scene that the whole daemon passes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.mutants import MUTANTS
from tests.helpers.daemon import DaemonDied
from tests.helpers.engine import Engine, fresh_database, running_engine
from tests.helpers.scene import Lost, Repeated, Scene, running_scene
from tests.integration import test_exactly_once as scenes

pytestmark = pytest.mark.chaos

Act = Callable[[Scene], None]
CONTROL = "rows_that_differ_per_try"

ELSEWHERE = {"another_time", "no_file_is_synced", "no_folder_is_synced"}
"""Used by the scenes of ``tests.chaos.hostile`` and the record of system calls."""

CAUGHT: list[tuple[str, Act, type[AssertionError]]] = [
    (
        "sessions_not_recovered",
        scenes.test_a_session_that_was_quiet_until_its_segment_was_gone_repeats_nothing,
        AssertionError,
    ),
    (
        "header_without_counts",
        scenes.test_a_session_that_was_quiet_until_its_segment_was_gone_repeats_nothing,
        AssertionError,
    ),
    (
        "header_without_begun_calls",
        scenes.test_a_killed_client_leaves_an_abandoned_row_until_its_record_comes_late,
        AssertionError,
    ),
    (
        "received_instead_of_durable",
        scenes.test_a_session_that_connects_again_is_told_what_is_on_disk_and_not_what_was_read,
        Lost,
    ),
    (
        "forgotten_sessions_not_asked_about",
        scenes.test_a_session_that_the_daemon_has_forgotten_repeats_nothing_that_was_stored,
        Repeated,
    ),
    (
        "sessions_forgotten_that_wait",
        scenes.test_a_session_of_which_lines_wait_is_remembered_whatever_its_age,
        AssertionError,
    ),
    (
        "hello_without_flush",
        scenes.test_a_hello_is_answered_when_what_the_older_connection_sent_is_on_disk,
        Repeated,
    ),
    (
        "own_rows_taken_for_others",
        scenes.test_rows_that_an_unheard_insert_of_their_own_batch_has_stored_are_not_taken_for_others,
        AssertionError,
    ),
    (
        "repeats_beside_each_other",
        scenes.test_a_letter_that_is_replayed_while_the_store_is_away_is_one_row,
        Repeated,
    ),
    (
        "repeats_within_a_batch",
        scenes.test_a_letter_that_is_replayed_twice_within_a_batch_is_one_row,
        Repeated,
    ),
    (
        "losses_after_the_settle",
        scenes.test_losses_whose_insert_the_daemon_did_not_live_to_see_are_stored_after_its_restart,
        AssertionError,
    ),
    ("answer_before_the_write", scenes.test_what_was_called_durable_survives_a_kill_at_that_moment, Lost),
    (
        "segment_gone_before_the_insert",
        scenes.test_a_daemon_killed_before_its_insert_was_run_inserts_it_after_its_restart,
        Lost,
    ),
    (
        "no_asking",
        scenes.test_an_insert_whose_answer_was_lost_is_not_repeated_when_the_window_has_passed,
        Repeated,
    ),
    ("no_asking", scenes.test_an_insert_that_the_daemon_did_not_live_to_hear_of_is_not_repeated, Repeated),
    (
        "halves_not_asked_about",
        scenes.test_a_daemon_killed_while_it_looks_for_a_bad_row_decides_the_same_after_its_restart,
        Repeated,
    ),
    (
        "token_left_out",
        scenes.test_an_insert_that_the_server_runs_long_after_its_time_out_is_not_repeated,
        Repeated,
    ),
    (
        "settled_out_of_order",
        scenes.test_a_record_that_overtakes_the_segment_of_its_begin_leaves_no_call_open,
        AssertionError,
    ),
    (
        "abandoned_rows_stay",
        scenes.test_a_killed_client_leaves_an_abandoned_row_until_its_record_comes_late,
        AssertionError,
    ),
    (
        "dead_senders_not_remembered",
        scenes.test_a_dead_sender_is_counted_once_however_often_the_daemon_starts,
        AssertionError,
    ),
]


TRIES = 3
"""Some are wrong for a moment alone, which a machine with no time to spare may sleep through."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with running_engine(tmp_path_factory.mktemp("engine")) as running:
        yield running


@pytest.mark.parametrize(("mutant", "act", "symptom"), CAUGHT)
def test_a_broken_daemon_is_caught(
    engine: Engine, tmp_path: Path, mutant: str, act: Act, symptom: type[AssertionError]
) -> None:
    caught = None
    for number in range(TRIES):
        (tmp_path / str(number)).mkdir()
        with broken_scene(engine, tmp_path / str(number), mutant, act) as scene:
            try:
                act(scene)
            except symptom as error:
                caught = error
                break
            except Lost:
                continue  # on a busy machine, too slow for the patience that it is given
    assert caught is not None, f"{mutant} was not caught"
    assert not isinstance(caught, DaemonDied), "it is to be wrong, and not to fall down"


def test_rows_that_differ_per_try_harm_nobody_as_long_as_there_is_a_token(
    engine: Engine, tmp_path: Path
) -> None:
    act = scenes.test_an_insert_that_the_server_runs_long_after_its_time_out_is_not_repeated
    with broken_scene(engine, tmp_path, CONTROL, act) as scene:
        act(scene)


def test_every_mutant_is_tried() -> None:
    assert {mutant for mutant, _, _ in CAUGHT} | {CONTROL} | ELSEWHERE == set(MUTANTS)


@contextmanager
def broken_scene(engine: Engine, folder: Path, mutant: str, act: Act) -> Iterator[Scene]:
    """Run the scene that a test wants, with the settings that its mark names, and less patience."""
    engine.release()
    marks = [mark for mark in getattr(act, "pytestmark", []) if mark.args[0] == "scene"]
    settings = marks[0].args[1][0] if marks else {}
    with (
        fresh_database(engine.address) as url,
        running_scene(engine, url, folder, mutant=mutant, settings=settings) as scene,
    ):
        scene.patience_seconds = 4.0
        yield scene
        engine.release()
