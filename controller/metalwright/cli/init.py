# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright init``: a configuration file, a data directory, a database and a first token."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from metalwright.cli.client import client_file, read_client_file
from metalwright.config import DEFAULT_PATH, Settings, load, parse
from metalwright.errors import Unavailable

_TEMPLATE = """\
# Settings of the Metalwright controller. All of them are described in docs/reference/configuration.md.
data_dir = {data_dir}

[admin]
listen = {admin}

[node]
listen = {node}
# Where machines reach the controller; required before one can boot.
{url}

# [dhcp]
# engine = "dnsmasq"
# interface = "eth1"

# [tftp]
# listen = "10.0.0.1:69"
"""


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="METALWRIGHT_CONFIG",
    default=DEFAULT_PATH,
    show_default=True,
    help="Configuration file to write; one that exists is kept.",
)
@click.option("--data-dir", type=click.Path(path_type=Path), help="Directory for all that the controller keeps.")
@click.option("--admin-listen", metavar="HOST:PORT", help="Where the API is served.")
@click.option("--node-listen", metavar="HOST:PORT", help="Where machines are served.")
@click.option("--node-url", metavar="URL", help="Where machines reach the controller, for example http://10.0.0.1:5248.")
@click.option("--token", "token_name", default="admin", show_default=True, help="Name of the first token.")
def init(
    config: Path,
    data_dir: Path | None,
    admin_listen: str | None,
    node_listen: str | None,
    node_url: str | None,
    token_name: str,
) -> None:
    """Set up a controller on this host. Done twice, it changes nothing."""
    config = config.absolute()
    if config.exists():
        click.echo(f"{config} exists and is kept.")
    else:
        text = _settings(data_dir, admin_listen, node_listen, node_url)
        parse(text, config)
        _write(config, text, 0o640)
        click.echo(f"{config} written.")
    settings = load(config)

    from metalwright.cli import local
    from metalwright.serve.data import prepare

    store = prepare(settings)
    click.echo(f"{settings.data_dir} holds the database and files.")
    if any(each["name"] == token_name for each in local.list_tokens(store)):
        click.echo(f"Token {token_name} exists and is kept.")
    else:
        _first_token(local.create_token(store, token_name), token_name, settings, config)
    named = f" --config {config}" if config != DEFAULT_PATH else ""
    click.echo(
        f"\nNext: 'metalwright agent build{named}' makes what machines boot, 'metalwright serve{named}' runs the controller."
    )


def _settings(data_dir: Path | None, admin: str | None, node: str | None, url: str | None) -> str:
    defaults = Settings()
    return _TEMPLATE.format(
        data_dir=_toml(str((data_dir or defaults.data_dir).absolute())),
        admin=_toml(admin or defaults.admin.listen),
        node=_toml(node or defaults.node.listen),
        url=f"url = {_toml(url)}" if url else '# url = "http://10.0.0.1:5248"',
    )


def _first_token(raw: str, name: str, settings: Settings, config: Path) -> None:
    path = client_file(os.environ)
    url = f"http://{settings.admin.listen}".replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    click.echo(f"Token {name}, shown this once: {raw}")
    if read_client_file(path).get("url", url) != url:
        click.echo(f"{path} is of another controller and is kept; use METALWRIGHT_URL={url} and METALWRIGHT_TOKEN.")
        return
    saved = {"url": url, "token": raw, "config": str(config)}
    lines = "".join(f"{key} = {_toml(value)}\n" for key, value in saved.items())
    _write(path, f"# Written by metalwright init.\n{lines}", 0o600)
    click.echo(f"{path} written: commands of this user find the controller by it.")


def _write(path: Path, content: str, mode: int) -> None:
    """Write a file that nobody sees half-way or with wider permissions than ``mode``."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        hint = "Run as a user that may, or name another file."
        raise Unavailable("file_refused", f"{path} can not be written: {error.strerror}.", hint) from None


def _toml(value: str) -> str:
    return json.dumps(value)  # a basic string of TOML is written like one of JSON
