# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packages come from: the host's own Debian sources, and no other vendor's."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.errors import Invalid, Unavailable
from metalwright.images import debian_root, host_tools

DEBIAN = """\
Types: deb deb-src
URIs: http://mirror.example.net/debian
Suites: bookworm bookworm-updates
Components: main non-free-firmware
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
OTHERS = """\
# Docker's suite is called bookworm too
Types: deb
URIs: https://download.docker.com/linux/debian
Suites: bookworm
Components: stable

Types: deb
URIs: https://apt.postgresql.org/pub/repos/apt
Suites: bookworm-pgdg
Components: main

Types: deb
URIs: http://mirror.example.net/debian
Suites: bookworm
Components: main
Enabled: no
"""


def test_the_hosts_own_debian_sources_are_used(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text(
        "# comment\n"
        "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example.net/debian bookworm main contrib\n"
        "deb-src http://mirror.example.net/debian bookworm main\n"
        "deb http://mirror.example.net/debian-security bookworm-security main\n"
        "deb http://mirror.example.net/debian trixie main\n"
        "deb https://download.docker.com/linux/debian bookworm stable\n"
    )
    (tmp_path / "sources.list.d/debian.sources").write_text(DEBIAN)
    (tmp_path / "sources.list.d/others.sources").write_text(OTHERS)
    entries, stanzas = debian_root.host_sources("12", tmp_path)
    assert [entry.split()[-2:] for entry in entries] == [["main", "contrib"], ["bookworm-security", "main"]]
    assert stanzas == DEBIAN + "\n"


def test_another_distribution_gives_none(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/ubuntu.sources").write_text(
        "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu\nSuites: noble\nComponents: main universe\n"
    )
    assert debian_root.host_sources("12", tmp_path) == ([], "")


def test_an_unknown_release_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        debian_root.bootstrap(tmp_path / "root", release="11", packages=(), mirror=None, progress=lambda *_: None)
    assert caught.value.code == "release_unknown"


def test_missing_programs_are_named_with_their_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_tools, "_SEARCH", str(tmp_path))
    with pytest.raises(Unavailable) as caught:
        host_tools.require("mksquashfs", "mcopy", "mmd")
    assert caught.value.code == "tools_missing"
    assert caught.value.hint == "apt-get install mtools squashfs-tools"


def test_a_program_that_fails_says_its_last_words() -> None:
    with pytest.raises(host_tools.BuildFailed) as caught:
        host_tools.run(["sh", "-c", "seq 100; echo the reason >&2; exit 3"])
    assert "the reason" in caught.value.message
    assert caught.value.details["log_tail"].splitlines()[0] == "87"


def test_a_mirror_that_is_not_there_is_named_with_what_it_did(tmp_path: Path) -> None:
    mirror = f"deb file://{tmp_path}/nowhere bookworm main"
    with pytest.raises(host_tools.BuildFailed) as failed:
        debian_root.bootstrap(tmp_path / "root", release="12", packages=["dash"], mirror=mirror, progress=lambda *_: None)
    assert f"The repository 'file:{tmp_path}/nowhere bookworm Release' does not have a Release file." in failed.value.message
    assert failed.value.hint == (
        f"Packages were taken from {mirror}. See that this host reaches it, or name another one with --mirror."
    )
