# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian root file systems by mmdebstrap."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from metalwright.errors import Invalid, Unavailable
from metalwright.images.host_tools import BuildFailed, Progress, require, run
from metalwright.images.sources import without_password

CODENAMES = {"12": "bookworm"}
"""Debian releases that are built, by their number."""

TOOLS = ("mmdebstrap",)
_APT = Path("/etc/apt")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# mmdebstrap says what it does in about these lines; the share of the time each one begins at was measured.
_STAGES = (
    ("running apt-get update", "reading package lists", 0.0),
    ("downloading packages", "downloading base packages", 0.1),
    ("extracting archives", "unpacking base packages", 0.2),
    ("installing essential", "installing base packages", 0.25),
    ("installing remaining", "installing packages", 0.35),
    ("cleaning", "cleaning up", 0.97),
)
_AWAY = ("Failed to fetch", "does not have a Release file", "Could not resolve")
"""What apt says where a mirror does not have what it should, or is not there."""


def bootstrap(
    target: Path,
    *,
    release: str,
    packages: Iterable[str],
    excluded_paths: Iterable[str] = (),
    files: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    mirror: str | None,
    progress: Progress,
) -> None:
    """Install Debian ``release`` ("12") with ``packages`` into the new directory ``target``; root only.

    ``mirror`` is a URL (or a whole ``deb ...`` line); without it the host's own sources of that release are taken, else
    deb.debian.org. ``files`` (path and content; executable when it begins with ``#!``) are there before the first package.
    Raises ``BuildFailed`` (``build_failed``), ``Unavailable`` (``tools_missing``), ``Invalid`` (``release_unknown``).
    """
    if release not in CODENAMES:
        known = ", ".join(CODENAMES)
        raise Invalid("release_unknown", f"Debian {release} can not be built.", f"Known releases: {known}.", release=release)
    require(*TOOLS)
    if not _KEYRING.exists():
        raise Unavailable("tools_missing", f"{_KEYRING} is missing.", "apt-get install debian-archive-keyring")

    def on_line(line: str) -> None:
        for text, label, share in _STAGES:
            if line.startswith(f"I: {text}"):
                progress(label, share)

    command = [
        "mmdebstrap",
        "--mode=root",
        "--variant=apt",
        f"--keyring={_KEYRING}",
        f"--include={','.join(packages)}",
        '--aptopt=Apt::Install-Recommends "false"',
        # The root is thrown away when the host dies; syncing every package to disk would cost a third of the time.
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={path}" for path in excluded_paths),
        CODENAMES[release],
        str(target),
    ]
    with tempfile.TemporaryDirectory(prefix="metalwright-sources-") as directory:
        overlay = Path(directory) / "files"
        write_files(overlay, files or {})
        command.insert(1, f'--setup-hook=cp -a {overlay}/. "$1"')
        stanzas = Path(directory) / "debian.sources"
        if mirror is not None:
            command.append(mirror)
            origin = " ".join(without_password(word) if "://" in word else word for word in mirror.split())
        else:
            entries, text = host_sources(release)
            stanzas.write_text(text, encoding="utf-8")
            command += [*entries, *([str(stanzas)] if text else [])]
            origin = "this host's own apt sources" if entries or text else "Debian's own mirror"
        try:
            run(command, on_line=on_line, environ=environ)
        except BuildFailed as error:
            error.hint = f"Packages were taken from {origin}."
            if any(words in str(error.details["log_tail"]) for words in _AWAY):
                error.hint += " See that this host reaches it, or name another one with --mirror."
            raise


def write_files(root: Path, files: Mapping[str, str]) -> None:
    """Write ``files`` below ``root``: mode 0644, or 0755 for those that begin with ``#!``."""
    root.mkdir(exist_ok=True)
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755 if content.startswith("#!") else 0o644)


def forget_build_options(root: Path) -> None:
    """Remove the options of dpkg and apt that were meant for the build: what is installed later is installed whole."""
    for name in ("etc/dpkg/dpkg.cfg.d/99mmdebstrap", "etc/apt/apt.conf.d/99mmdebstrap"):
        (root / name).unlink(missing_ok=True)


def host_sources(release: str, apt: Path = _APT) -> tuple[list[str], str]:
    """Return the host's own apt sources of Debian ``release``: one-line entries, and deb822 stanzas as one text.

    Both are empty on a host that is not that release; mmdebstrap then takes deb.debian.org.
    """
    codename = CODENAMES[release]
    entries: list[str] = []
    for path in sorted([apt / "sources.list", *(apt / "sources.list.d").glob("*.list")]):
        if path.is_file():
            entries += [line for line in path.read_text(encoding="utf-8").splitlines() if _is_one_line_source(line, codename)]
    stanzas: list[str] = []
    for path in sorted((apt / "sources.list.d").glob("*.sources")):
        text = "\n".join(line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        stanzas += [stanza for stanza in re.split(r"\n\s*\n", text) if _is_stanza(stanza, codename)]
    return entries, "".join(f"{stanza.strip()}\n\n" for stanza in stanzas)


def _is_one_line_source(line: str, codename: str) -> bool:
    words = re.sub(r"\[[^]]*\]", "", line).split()
    return len(words) > 3 and words[0] == "deb" and _is_ours({words[2]}, set(words[3:]), codename)


def _is_stanza(stanza: str, codename: str) -> bool:
    fields = {name.lower(): value.split() for name, _, value in (line.partition(":") for line in stanza.splitlines())}
    if "deb" not in fields.get("types", []) or fields.get("enabled", ["yes"]) == ["no"]:
        return False
    return _is_ours(set(fields.get("suites", [])), set(fields.get("components", [])), codename)


def _is_ours(suites: set[str], components: set[str], codename: str) -> bool:
    """Debian's own archive only: other vendors' packages have no place in an image, and their keys are not known to it."""
    return "main" in components and suites <= {codename, f"{codename}-updates", f"{codename}-security"}
