# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel and root of the agent: made of Debian packages, kept per build, the newest one named ``current``.

    TARGET/<build id>/{vmlinuz,initrd.img,recipe}      TARGET/current -> <build id>

``initrd.img`` is an uncompressed cpio with a static busybox, ``agent_root/init.sh`` and the root as a squashfs. The agent's
code is not in it (see ``agent_code``).
"""

from __future__ import annotations

import fcntl
import fnmatch
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from metalwright.images import debian_root
from metalwright.images.host_tools import Progress, require, run
from metalwright.images.newc import NewcWriter
from metalwright.images.scratch import scratch

RELEASE = "12"
_DATA = Path(__file__).parent / "agent_root"
_CURRENT = "current"
_KEEP = 2
"""Builds kept: machines that boot while a new build appears still fetch the files of the one before."""

PACKAGES = (
    "busybox-static",
    "ca-certificates",
    "dmidecode",
    "dosfstools",
    "dropbear-bin",
    "e2fsprogs",
    "efibootmgr",
    "gdisk",
    "hdparm",
    "iproute2",
    "ipmitool",
    "kexec-tools",
    "kmod",
    "linux-image-amd64",
    "lldpd",
    "memtester",
    "mount",
    "nvme-cli",
    "openssh-sftp-server",
    "parted",
    "pciutils",
    "python3",
    "smartmontools",
    "stress-ng",
    "udev",
    "util-linux",
    "xfsprogs",
    "xz-utils",
    "zstd",
)
_BUSYBOX_LINKS = ("init", "halt", "poweroff", "reboot", "udhcpc")
_BUSYBOX_TOOLS = ("free", "killall", "less", "nc", "nslookup", "ping", "ps", "top", "traceroute", "uptime", "vi", "wget")
"""What people who log in, and scripts, expect to find; where the root has the real program, that one stays."""
_SCRIPTS = {"boot.sh": "boot", "network.sh": "network", "agent.sh": "agent", "dhcp.sh": "dhcp"}
_STAGE_1_MODULES = ("loop", "squashfs", "overlay")
_STAGE_1_DIRECTORIES = ("bin", "dev", "lower", "modules", "newroot", "proc", "sys", "upper")
_LINKED_BYTES = 64 * 1024
_SHARE_OF_BOOTSTRAP = 0.75


@dataclass(frozen=True)
class AgentBuild:
    """A built agent; ``build_id`` is 16 hex digits of the hash of both files and the name of their directory."""

    build_id: str
    kernel: Path
    initrd: Path


def build(target: Path, *, progress: Progress, mirror: str | None = None, force: bool = False) -> AgentBuild:
    """Return the agent in ``target``, built now unless ``current`` was made by this very recipe (or with ``force``).

    Takes one to two minutes and root. Another build into the same ``target`` waits for this one. Raises ``BuildFailed``
    (``build_failed``) and ``Unavailable`` (``tools_missing``); then ``target`` is as it was.
    """
    target.mkdir(parents=True, exist_ok=True)
    with _only_one(target):
        recipe = recipe_digest()
        existing = current(target)
        if existing is not None and not force and _recipe_of(existing) == recipe:
            progress("the agent is up to date", 1.0)
            return existing
        require(*debian_root.TOOLS, "mksquashfs", "chroot")
        with scratch(target) as directory:
            made = _build(directory, mirror, progress)
            (made / "recipe").write_text(recipe + "\n", encoding="ascii")
            build_id = _content_id(made)
            final = target / build_id
            if not final.exists():
                made.chmod(0o755)
                made.rename(final)
        _make_current(target, build_id)
        _remove_old(target)
        progress("the agent is built", 1.0)
        return AgentBuild(build_id, final / "vmlinuz", final / "initrd.img")


def current(target: Path) -> AgentBuild | None:
    """Return the build that ``target``'s machines boot, or None."""
    link = target / _CURRENT
    if not (link / "initrd.img").exists():
        return None
    directory = link.resolve()
    return AgentBuild(directory.name, directory / "vmlinuz", directory / "initrd.img")


def recipe_digest() -> str:
    """Return the hash of everything here that a build is made by; another one means that builds are out of date."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in [*sorted(_DATA.iterdir()), *(here / name for name in ("agent_build.py", "debian_root.py", "newc.py"))]:
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _build(directory: Path, mirror: str | None, progress: Progress) -> Path:
    root = directory / "root"
    debian_root.bootstrap(
        root,
        release=RELEASE,
        packages=PACKAGES,
        excluded_paths=(
            *("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*", "/usr/share/info/*"),
            # stress-ng links the loaders of graphics libraries; what those would load at run time, 150 MB, is left out.
            *("/usr/lib/x86_64-linux-gnu/libLLVM*", "/usr/lib/x86_64-linux-gnu/dri/*", "/usr/lib/x86_64-linux-gnu/libz3.so*"),
        ),
        environ={"INITRD": "No"},  # /etc/kernel/postinst.d/initramfs-tools: no initrd of its own is needed
        mirror=mirror,
        progress=lambda message, share: progress(message, None if share is None else share * _SHARE_OF_BOOTSTRAP),
    )
    made = directory / "made"
    made.mkdir()
    progress("choosing drivers", _SHARE_OF_BOOTSTRAP)
    kernel = next((root / "boot").glob("vmlinuz-*"))
    version = kernel.name.removeprefix("vmlinuz-")
    shutil.copyfile(kernel, made / "vmlinuz")
    stage_1 = _module_files(root, version, _STAGE_1_MODULES)
    _prune_modules(root, version)
    _install_scripts(root)
    for pattern in _lines("prune.cfg"):
        for path in list(root.glob(pattern)):
            _remove(path)
    _blank_unused_data(root)
    progress("compressing", 0.8)
    squashed = directory / "root.squashfs"
    run([
        *("mksquashfs", str(root), str(squashed), "-noappend", "-no-progress", "-quiet", "-no-xattrs", "-mkfs-time", "0"),
        *("-comp", "zstd", "-Xcompression-level", "19", "-b", "128K"),
    ])  # fmt: skip
    progress("writing the initrd", 0.97)
    with (made / "initrd.img").open("wb") as stream:
        archive = NewcWriter(stream)
        for name in _STAGE_1_DIRECTORIES:
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.file("bin/busybox", root / "usr/bin/busybox", mode=0o755)
        for name in _stage_1_applets():
            archive.symlink(f"bin/{name}", "busybox")
        archive.data("modules/order", "".join(f"/modules/{path.name}\n" for path in stage_1).encode())
        for path in stage_1:
            archive.file(f"modules/{path.name}", path)
        archive.file("init", _DATA / "init.sh", mode=0o755)
        archive.file("root.squashfs", squashed)
        archive.close()
    return made


def _stage_1_applets() -> tuple[str, ...]:
    """The programs that ``init.sh`` uses; the kernel gives it no PATH but busybox's own default, which has /bin."""
    return ("cp", "insmod", "mkdir", "mount", "reboot", "sh", "sleep", "switch_root")


def _lines(name: str) -> list[str]:
    text = (_DATA / name).read_text(encoding="utf-8")
    return [line for line in (line.strip() for line in text.splitlines()) if line and not line.startswith("#")]


def _dependencies(root: Path, version: str) -> dict[str, list[str]]:
    """Return every module's path below the version's directory, with the paths it needs.

    Their order is that of modules.dep(5): what has to be loaded first comes last.
    """
    text = (root / "usr/lib/modules" / version / "modules.dep").read_text(encoding="utf-8")
    return {path: needs.split() for path, _, needs in (line.partition(":") for line in text.splitlines())}


def _module_files(root: Path, version: str, names: tuple[str, ...]) -> list[Path]:
    """Return the files of the modules ``names`` and of all they depend on, in the order of loading."""
    needs = _dependencies(root, version)
    order: list[str] = []
    for name in names:
        path = next(path for path in needs if path.rsplit("/", 1)[-1].partition(".")[0] == name)
        order += [needed for needed in [*reversed(needs[path]), path] if needed not in order]
    return [root / "usr/lib/modules" / version / path for path in order]


def _prune_modules(root: Path, version: str) -> None:
    """Remove the modules that ``modules.cfg`` does not keep."""
    needs = _dependencies(root, version)
    kept: set[str] = set()
    for line in _lines("modules.cfg"):
        matching = set(fnmatch.filter(needs, f"kernel/{line.removeprefix('!')}"))
        kept = kept - matching if line.startswith("!") else kept | matching
    kept |= {needed for path in kept for needed in needs[path]}
    base = root / "usr/lib/modules" / version
    for path in needs:
        if path not in kept:
            (base / path).unlink()
    run(["chroot", str(root), "depmod", version])


def _install_scripts(root: Path) -> None:
    directory = root / "usr/lib/metalwright"
    directory.mkdir()
    for source, name in _SCRIPTS.items():
        shutil.copyfile(_DATA / source, directory / name)
        (directory / name).chmod(0o755)
    for name in _BUSYBOX_LINKS:
        link = root / "usr/sbin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("../bin/busybox")
    for name in _BUSYBOX_TOOLS:
        if not (root / "usr/bin" / name).exists() and not (root / "usr/sbin" / name).exists():
            (root / "usr/bin" / name).symlink_to("busybox")
    shutil.copyfile(_DATA / "inittab.cfg", root / "etc/inittab")
    (root / "etc/modprobe.d/metalwright.conf").write_text("options scsi_mod scan=sync\n", encoding="ascii")
    for name in ("hostname", "resolv.conf", "machine-id"):
        (root / "etc" / name).unlink(missing_ok=True)


def _blank_unused_data(root: Path) -> None:
    """Fill libicudata with zeros, which compress to nothing: 30 MB of tables that lldpcli's XML output links and never reads.

    Its first and last pages, where the dynamic linker reads, stay.
    """
    for path in root.glob("usr/lib/x86_64-linux-gnu/libicudata.so.*.*"):
        size = path.stat().st_size
        with path.open("r+b") as stream:
            stream.seek(_LINKED_BYTES)
            stream.write(bytes(size - 2 * _LINKED_BYTES))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _content_id(made: Path) -> str:
    digest = hashlib.sha256()
    for name in ("vmlinuz", "initrd.img"):
        with (made / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def _recipe_of(build: AgentBuild) -> str:
    return (build.kernel.parent / "recipe").read_text(encoding="ascii").strip()


def _make_current(target: Path, build_id: str) -> None:
    fresh = target / f".{_CURRENT}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(build_id)
    fresh.rename(target / _CURRENT)


def _remove_old(target: Path) -> None:
    builds = [path for path in target.iterdir() if path.is_dir() and not path.is_symlink() and not path.name.startswith(".")]
    builds.sort(key=lambda path: (path.name == (target / _CURRENT).readlink().name, path.stat().st_mtime), reverse=True)
    for path in builds[_KEEP:]:
        shutil.rmtree(path)


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    with (target / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
