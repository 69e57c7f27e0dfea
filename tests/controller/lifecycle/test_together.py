# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks gets work that began after the question; who asks meanwhile shares it."""

from __future__ import annotations

import threading

import pytest

from metalwright.lifecycle.together import Together


def test_all_who_ask_while_a_run_is_under_way_share_the_next_one() -> None:
    entered, go_on = threading.Semaphore(0), threading.Semaphore(0)
    runs: list[int] = []

    def work() -> None:
        runs.append(len(runs))
        entered.release()
        go_on.acquire()

    together = Together(work)
    first = threading.Thread(target=together)
    first.start()
    entered.acquire()  # the first run is under way: what it saw may be older than what the others want
    others = [threading.Thread(target=together) for _ in range(8)]
    for thread in others:
        thread.start()
    for _ in range(20):
        go_on.release()
    for thread in [first, *others]:
        thread.join(30)
    assert len(runs) in (2, 3)  # 3: one of the others asked when the second had begun


def test_a_run_that_failed_is_made_again_for_the_next() -> None:
    outcomes = [OSError("disk full"), None]

    def work() -> None:
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    together = Together(work)
    with pytest.raises(OSError, match="disk full"):
        together()
    together()
    assert outcomes == []
