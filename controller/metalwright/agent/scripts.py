# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that the controller wants run on this machine: in order, those marked parallel beside each other.

What a script finds and how it ends is told in docs/reference/agent-protocol.md.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .client import NoAnswer
from .errors import Aborted, Refused, RestartWanted, StepFailed
from .group import Tail
from .line import Line
from .script import Outcome, Run, execute, run_directory, text
from .work import Work

TELL_EVERY = 10.0
"""Seconds between two reports of what a running script has printed so far."""
_LOG_TAIL = 8000
_NOT_FOUND = 404


def run_scripts(work: Work) -> dict[str, Any]:
    """Run what the controller wants run; the result counts how they ended: ``{"passed", "failed", "timeout", "skipped"}``.

    Raises ``StepFailed``: ``script_failed`` at the first required script that fails, ``test_failed`` after all tests when a
    required one has; ``RestartWanted``.
    """
    runs = [Run.of(said) for said in _ask(work, "scripts", {}).get("runs") or []]
    if not runs:
        work.console.say("scripts: there is none to run")
    counts = dict.fromkeys(("passed", "failed", "timeout", "skipped"), 0)
    failed_tests: list[str] = []
    done = 0
    for batch in batches(runs):
        names = ", ".join(run.name for run in batch)
        work.report("scripts", 100 * done / len(runs), f"{names} ({done + 1} of {len(runs)})")
        outcomes = _together(batch, work)
        done += len(batch)
        for run in batch:
            outcome = outcomes[run.id]
            counts[outcome.status] += 1
            if outcome.status not in ("failed", "timeout") or not run.required:
                continue
            reason = f"{run.name}: {_reason(outcome, run)}"
            if run.kind != "test":
                raise StepFailed("script_failed", reason, outcome.output[-_LOG_TAIL:])
            failed_tests.append(reason)
    if failed_tests:
        raise StepFailed("test_failed", "; ".join(failed_tests))
    return dict(counts)


def batches(runs: Iterable[Run]) -> Iterator[list[Run]]:
    """Yield what is run at the same time: parallel runs of one kind that follow each other. Who may reboot is alone."""
    batch: list[Run] = []
    for run in runs:
        alone = not run.parallel or run.may_reboot
        if batch and (alone or batch[0].kind != run.kind):
            yield batch
            batch = []
        if alone:
            yield [run]
        else:
            batch.append(run)
    if batch:
        yield batch


def _together(batch: list[Run], work: Work) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}

    def one(run: Run) -> None:
        outcomes[run.id] = _one(run, work)

    line = Line()
    for run in batch:
        line.start(partial(one, run))
    line.join()
    return outcomes


def _one(run: Run, work: Work) -> Outcome:
    again = f", for the {run.reboots + 1}. time" if run.reboots else ""
    work.console.say(f"scripts: {run.name} begins{again}")
    try:
        source = work.client.get(f"{work.client.base_url}/script/{run.id}")
    except Refused as error:
        raise _gone_or_fault(error) from error
    _tell(run, Outcome("running", None, "", None, None), work)
    url_base = work.client.base_url.rpartition("/agent/")[0]
    tail = Tail()
    with run_directory(work.console) as directory, _telling(run, tail, work):
        outcome, wants_restart = execute(run, source, directory, url_base, tail, work.abort)
    if wants_restart:
        _tell(run, outcome, work)
        raise RestartWanted(run.name)
    work.console.say(f"scripts: {run.name}: {_reason(outcome, run)}")
    _tell(run, outcome, work)
    return outcome


def _reason(outcome: Outcome, run: Run) -> str:
    seconds = f"{outcome.runtime_seconds or 0:.1f} s"
    if outcome.status == "timeout":
        return f"not done after its {run.timeout_seconds:.0f} s, ended"
    if outcome.status == "skipped":
        return f"skipped after {seconds}"
    if outcome.status == "passed":
        return f"passed after {seconds}"
    last = next((line.strip() for line in reversed(outcome.output.splitlines()) if line.strip()), "")
    return " ".join((f"failed with status {outcome.exit_status} after {seconds}", last and f"({last[:200]})")).strip()


@contextmanager
def _telling(run: Run, tail: Tail, work: Work) -> Iterator[None]:
    """Tell the controller now and then what the script has printed, for people who watch. Lost reports are not repeated."""
    stop = threading.Event()

    def tell() -> None:
        told = b""
        while not stop.wait(TELL_EVERY):
            content = tail.content()
            if content == told:
                continue
            try:
                work.client.post_once(f"script/{run.id}", Outcome("running", None, text(content), None, None)._asdict())
            except NoAnswer:
                continue
            except (Refused, StepFailed):
                return
            told = content

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()  # or a late "running" would come after the end


def _ask(work: Work, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = work.client.post(path, body)
    except Refused as error:
        raise _gone_or_fault(error) from error
    if answer.get("continue") is False:
        raise Aborted("the controller wants this job stopped")
    return answer


def _tell(run: Run, outcome: Outcome, work: Work) -> None:
    _ask(work, f"script/{run.id}", outcome._asdict())


def _gone_or_fault(error: Refused) -> Exception:
    """A 404 is what a void token is answered with; anything else would be a fault, and is to be told as one."""
    if error.status == _NOT_FOUND:
        return Aborted(error.message)
    return StepFailed("agent_error", f"the controller refuses: {error.message}")
