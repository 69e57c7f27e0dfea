# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong around a controller: the network, BMCs, disks, the clock. Machines in are machines out."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from played import SETTINGS, SQLITE, begun, play

from metalwright.sim.fleet import Fleet, Report
from metalwright.sim.throwaway import Throwaway
from metalwright.sim.wishes import BmcKind, Wishes

MIB = 1 << 20


@pytest.fixture
def controller(database: str) -> Iterator[Throwaway]:
    made = Throwaway(None, SETTINGS)
    try:
        made.start()
        yield made
    finally:
        made.close()


def test_a_tenth_of_everything_is_lost(controller: Throwaway, database: str, machines: int) -> None:
    report = play("10 % of calls and answers lost", controller, Wishes(count=machines, loss=0.1), database=database)
    assert report.deployed == machines, report.as_dict()


def test_every_call_of_agents_arrives_three_times(controller: Throwaway, database: str, machines: int) -> None:
    report = play("every agent's call arrives three times", controller, Wishes(count=machines, duplicate=1.0), database=database)
    assert report.deployed == machines, report.as_dict()


def failed(report: Report) -> str:
    """For the table."""
    return ", ".join(f"{number} {code}" for code, number in report.count.failures.items())


@pytest.mark.parametrize("bmc", ["webhook", pytest.param("ipmi", marks=pytest.mark.large)])
def test_every_bmc_answers_twice_late_or_never(controller: Throwaway, database: str, machines: int, bmc: BmcKind) -> None:
    """A machine whose BMC never answers stays as it was, and its operation has failed for that reason."""
    wishes = Wishes(count=machines, flaky_bmcs=1.0, late=1.0, bmc=bmc, seed=8)
    report = play(f"every BMC late, twice or never ({bmc})", controller, wishes, database=database, note=failed)
    silent = sum(wishes.mood(number) == "never" for number in range(machines))
    assert 0 < silent < machines
    assert report.count.machines == {"deployed": machines - silent, "new": silent}
    assert report.count.failures == {"bmc_unreachable": silent}


@contextmanager
def small_disk(at: Path, size_mib: int) -> Iterator[Path]:
    """A file system of its own."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


def fill(directory: Path) -> Path:
    """A file that leaves no room for any other."""
    ballast = directory / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return ballast


def test_the_disk_of_the_database_is_full(tmp_path: Path, machines: int) -> None:
    with small_disk(tmp_path / "small", 128) as directory:
        controller = Throwaway(None, SETTINGS, within=directory)

        async def fault(fleet: Fleet) -> None:
            await begun(fleet)
            ballast = await asyncio.to_thread(fill, directory)
            await asyncio.sleep(5)
            ballast.unlink()

        try:
            controller.start()
            report = play("disk full under the database, 5 s", controller, Wishes(count=machines), fault, database=SQLITE)
            assert report.deployed == machines, report.as_dict()
        finally:
            controller.close()


def test_the_disk_of_the_images_is_full(tmp_path: Path, database: str, machines: int) -> None:
    """An import fails by its name and leaves nothing; deployments go on; with room again the import succeeds."""
    controller = Throwaway(None, SETTINGS)
    try:
        store = controller.directory / "data/images"
        kept = controller.directory / "kept"
        store.rename(kept)
        with small_disk(store, 32):
            subprocess.run(["cp", "-a", f"{kept}/.", str(store)], check=True)
            before = sorted(path.name for path in store.iterdir())
            controller.start()
            ballast = fill(store)
            raw = controller.directory / "stand-in.raw"
            refused = controller.cli("image", "import", str(raw), "--name", "sim/second")
            assert refused.returncode != 0
            assert "no room left" in refused.stderr
            report = play("disk full under the images", controller, Wishes(count=machines), database=database)
            assert report.deployed == machines, report.as_dict()
            ballast.unlink()
            assert sorted(path.name for path in store.iterdir()) == before
            accepted = controller.cli("image", "import", str(raw), "--name", "sim/second")
            assert accepted.returncode == 0, accepted.stderr
            controller.stop()
    finally:
        controller.close()


STEPPED = """
import os
from datetime import timedelta
from pathlib import Path
from metalwright.store import base

true = base.utcnow
base.utcnow = lambda: true() + timedelta(seconds=float(Path(os.environ["STEP_FILE"]).read_text()))
"""
"""Run by Python itself before anything else of the controller (site, sitecustomize): whoever takes the clock takes this one."""


@pytest.mark.parametrize("step", ["+3600", "-3600"])
def test_the_clock_is_stepped_by_an_hour(tmp_path: Path, database: str, machines: int, step: str) -> None:
    """Of the controller's processes only; how long they have run is told truly (CLOCK_MONOTONIC)."""
    file = tmp_path / "step"
    file.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(STEPPED)
    path = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    controller = Throwaway(None, SETTINGS, environ={"PYTHONPATH": path, "STEP_FILE": str(file)})

    async def fault(fleet: Fleet) -> None:
        await begun(fleet)
        new = file.with_suffix(".new")
        new.write_text(step)
        new.replace(file)

    try:
        controller.start()
        report = play(f"clock stepped by {step} s", controller, Wishes(count=machines), fault, database=database)
        assert report.deployed == machines, report.as_dict()
    finally:
        controller.close()
