# SPDX-License-Identifier: GPL-3.0-or-later
"""What a lab boots and deploys: built once on a host, kept in the cache, and given to each lab.

Files are linked into the lab where the file system allows it, so that the second lab costs no time and no room.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

from metalwright.config import Settings
from metalwright.images import agent_build, build, catalogue, importer, loaders
from metalwright.lab.spec import IMAGE, Places
from metalwright.lab.steps import Tell
from metalwright.store import Store
from metalwright.store.models import Image

RELEASE = IMAGE.removeprefix("debian/")

# The parts of the image builder that decide what is in an image: when one of them changes, the cached image is made anew.
RECIPE = ("build.py", "debian_files.py", "debian_root.py", "disk_image.py", "importer.py", "streams.py")


def agent(places: Places, tell: Tell) -> agent_build.AgentBuild:
    """Return the agent, built now unless the cache holds it."""
    return agent_build.build(places.cache / "agent", progress=tell)


def install_boot_files(settings: Settings, built: agent_build.AgentBuild) -> None:
    """Give the agent and the boot loaders to the lab's controller."""
    agents = settings.boot_dir / "agent"
    target = agents / built.build_id
    if not target.exists():
        shutil.copytree(built.kernel.parent, target, copy_function=_link)
    fresh = agents / ".current"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(built.build_id)
    fresh.rename(agents / "current")
    loaders.install(settings.boot_dir / "loaders")


def image(places: Places, tell: Tell) -> importer.Imported:
    """Return the Debian image, built now unless the cache holds it. The kernel is the one for virtual machines."""
    directory = places.cache / "images"
    directory.mkdir(parents=True, exist_ok=True)
    manifest = directory / f"debian-{RELEASE}-{_recipe()}.json"
    if manifest.exists():
        kept = importer.Imported(**json.loads(manifest.read_text(encoding="utf-8")))
        if importer.stored_path(directory, kept.content_sha256).exists():
            tell("the image is up to date", 1.0)
            return kept
    made = build.build_debian(RELEASE, kernel="cloud", target=directory, progress=tell)
    for old in directory.glob(f"debian-{RELEASE}-*.json"):
        former = importer.stored_path(directory, json.loads(old.read_text(encoding="utf-8"))["content_sha256"])
        old.unlink()
        if former != importer.stored_path(directory, made.content_sha256):
            former.unlink(missing_ok=True)
    manifest.write_text(json.dumps(dataclasses.asdict(made)), encoding="utf-8")
    tell("the image is built", 1.0)
    return made


def install_image(settings: Settings, store: Store, places: Places, made: importer.Imported) -> None:
    """Give the image to the lab's controller, unless it has one of that name."""
    with store.write() as session:
        known = session.query(Image).filter_by(name=IMAGE).one_or_none()
        if known is not None and known.status != "failed":
            return
        target = importer.stored_path(settings.images_dir, made.content_sha256)
        if not target.exists():
            _link(importer.stored_path(places.cache / "images", made.content_sha256), target)
        catalogue.add(session, IMAGE, made, source="built by metalwright lab")


def _recipe() -> str:
    source = Path(build.__file__).parent
    return hashlib.sha256(b"\0".join((source / name).read_bytes() for name in RECIPE)).hexdigest()[:16]


def _link(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
