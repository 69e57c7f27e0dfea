# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright image``: building and importing on the controller's host, listing and deleting through the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from metalwright.cli.client import connect
from metalwright.cli.options import config_option, confirm, json_option, yes_option
from metalwright.cli.output import age, details, emit_json, size, table
from metalwright.cli.progress import Progress, shown
from metalwright.errors import Invalid

if TYPE_CHECKING:
    from metalwright.images.importer import Imported

_replace_option = click.option("--replace", is_flag=True, help="Replace an image of that name, once the new one is complete.")
_ENDINGS = re.compile(r"(\.(raw|img|qcow2|gz|xz|zst))+$")


@click.group()
def image() -> None:
    """Operating system images: build, import, list."""


@image.command("list")
@json_option
def list_images(as_json: bool) -> None:
    """List images."""
    found = list(connect().items("images"))
    if as_json:
        emit_json(found)
        return
    table(
        (
            ("NAME", lambda i: i["name"]),
            ("STATE", lambda i: i["status"]),
            ("PROGRESS", lambda i: f"{i['progress']}%" if i["progress"] is not None else None),
            ("ARCH", lambda i: i["arch"]),
            ("FIRMWARE", lambda i: i["firmware"]),
            ("DISK", lambda i: size(i["image_bytes"])),
            ("DOWNLOAD", lambda i: size(i["stored_bytes"])),
            ("CONTENT", lambda i: (i["content_sha256"] or "")[:12]),
            ("ADDED", lambda i: f"{age(i['created_at'])} ago"),
        ),
        found,
        "There are no images. 'metalwright image build debian/12' makes one.",
    )


@image.command()
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show an image."""
    found = connect().get("images", name)
    if as_json:
        emit_json(found)
        return
    failure = found["failure"] or {}
    shown_sizes = {"disk": size(found["image_bytes"]), "download": size(found["stored_bytes"])}
    plain = ("arch", "firmware", "format", "source", "source_sha256", "content_sha256", "created_at")
    details(
        {
            "name": found["name"],
            "id": found["id"],
            "state": found["status"],
            "progress": f"{found['progress']}%" if found["progress"] is not None else None,
            "failure": failure.get("message"),
            "hint": failure.get("hint"),
            **shown_sizes,
            **{key: found[key] for key in plain},
        }
    )


@image.command()
@click.argument("what", metavar="debian/RELEASE")
@click.option("--name", help="Name in the catalogue; without it, what is built.")
@click.option("--kernel", type=click.Choice(["generic", "cloud"]), default="generic", show_default=True, help="Which kernel.")
@click.option("--mirror", help="Package mirror; without it, the host's own or Debian's.")
@_replace_option
@config_option
@json_option
def build(
    what: str, name: str | None, kernel: str, mirror: str | None, replace: bool, config: Path | None, as_json: bool
) -> None:
    """Build an image from packages, on the controller's host, for example: metalwright image build debian/12"""
    distribution, _, release = what.partition("/")
    if distribution != "debian" or not release:
        raise Invalid("image_unknown", f"There is no recipe for {what}.", "Known is debian/RELEASE, for example debian/12.")

    def make(target: Path, progress: Progress) -> Imported:
        from metalwright.images.build import KERNELS, build_debian

        return build_debian(
            release, kernel=next(each for each in KERNELS if each == kernel), target=target, progress=progress, mirror=mirror
        )

    _add(name or what, f"built from packages of {what}", None, make, config, replace=replace, as_json=as_json)


@image.command("import")
@click.argument("source", metavar="FILE|URL")
@click.option("--name", help="Name in the catalogue; without it, the file's.")
@click.option("--sha256", help="SHA-256 that the source must have, in hex.")
@_replace_option
@config_option
@json_option
def import_(source: str, name: str | None, sha256: str | None, replace: bool, config: Path | None, as_json: bool) -> None:
    """Import an image, on the controller's host: raw or qcow2, plain or as .gz, .xz or .zst."""
    remote = source.startswith(("http://", "https://"))
    place: str | Path = source if remote else Path(source).absolute()

    def make(target: Path, progress: Progress) -> Imported:
        from metalwright.images.importer import import_image

        return import_image(place, sha256=sha256, target=target, progress=progress)

    _add(name or _name_of(source), place, sha256, make, config, replace=replace, as_json=as_json)


@image.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@yes_option
def delete(names: tuple[str, ...], yes: bool) -> None:
    """Delete images."""
    confirm(f"Delete {', '.join(names)}?", yes=yes)
    client = connect()
    for name in names:
        client.delete("images", name)
        click.echo(f"{name}: deleted")


def _name_of(source: str) -> str:
    return _ENDINGS.sub("", Path(urlsplit(source).path).name.lower())


def _add(
    name: str,
    source: str | Path,
    sha256: str | None,
    make: Callable[[Path, Progress], Imported],
    config: Path | None,
    *,
    replace: bool,
    as_json: bool,
) -> None:
    """Make an image and put it into the catalogue. Its name is tried first, and no row is left of a build that is cut off."""
    from metalwright.cli import local

    settings, store = local.open_controller(config)
    local.check_image_name(store, name, replace=replace)
    with shown(name, quiet=as_json) as progress:
        imported = make(settings.images_dir, progress)
    added = local.add_image(store, name, imported, source=source, sha256=sha256, replace=replace)
    if as_json:
        emit_json(added)
    else:
        stored, disk = size(imported.stored_bytes), size(imported.image_bytes)
        click.echo(f"{name}: ready, {stored} to download, a disk of {disk}, {' and '.join(imported.firmware)}")
