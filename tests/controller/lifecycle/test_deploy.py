# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine may be deployed with: everything that is wrong is said before its power is touched."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from metalwright.errors import Conflict, Invalid
from metalwright.lifecycle import deploy, userdata
from metalwright.store import Store
from metalwright.store.models import Image, Machine

GIB = 1 << 30
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJZ7v0TyuHkV6pz2pzlRCV7BNF8t1UPQpWvWzUPFSpQJ ops@example.com"
DISKS = [
    {"name": "sda", "size_bytes": 4 * GIB, "rotational": True, "serial": "A1", "removable": False},
    {"name": "nvme0n1", "size_bytes": 1 * GIB, "rotational": False, "serial": "B2", "removable": False},
    {"name": "sdb", "size_bytes": 64 * GIB, "removable": True},
]

ISSUE_USER_DATA = """#cloud-config
timezone: America/Los_Angeles
packages: [htop, tree, net-tools]
package_update: true
package_upgrade: true
manage_etc_hosts: false
power_state: {delay: "+30", mode: poweroff, message: Bye Bye, timeout: 30, condition: True}
"""

PARTS = "Content-Type: multipart/mixed; boundary=x"
BOMB = "#cloud-config\na0: &a0 {k: v, l: w}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 12)
)


def validate(
    store: Store, machine: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **body: Any
) -> dict[str, Any]:
    columns = {"name": "node-1", "state": "ready", "firmware": "bios", "hardware": {"disks": DISKS}, **(machine or {})}
    facts = {"name": "debian/12", "content_sha256": "a" * 64, "firmware": ["bios"], "image_bytes": 2 * GIB, **(image or {})}
    with store.write() as session:
        node = Machine(**columns)
        session.add_all([node, Image(**facts)])
        session.flush()
        parameters = deploy.validate(session, node, {"image": "debian/12", **body})
        session.rollback()
    json.dumps(parameters)  # they are kept as JSON
    return parameters


def test_what_is_given_is_what_the_machine_gets(store: Store) -> None:
    parameters = validate(
        store,
        hostname="Web-1",
        user_data=ISSUE_USER_DATA,
        manage_etc_hosts=False,
        power_state={"mode": "reboot", "delay": 5},
        disk={"rotational": True},
    )
    assert parameters["hostname"] == "web-1"
    assert parameters["user_data"] == ISSUE_USER_DATA
    assert parameters["manage_etc_hosts"] is False
    assert parameters["power_state"] == {"mode": "reboot", "delay": "5"}
    assert parameters["disk"] == {"rotational": True}
    assert "package_update" not in parameters


@pytest.mark.parametrize(
    "hints",
    [
        {"name": "/dev/vda"},
        {"name": "/dev/disk/by-path/pci-0000:00:04.0"},
        {"serial": "mw-0007"},
        {"wwn": "0x5000C500A1B2C3D4"},
        {"model": "virtio"},
    ],
)
def test_disks_are_meant_as_the_agent_understands_it(store: Store, hints: dict[str, Any]) -> None:
    """docs/reference/agent-protocol.md, step ``write``."""
    disk = {"name": "vda", "size_bytes": 4 * GIB, "serial": "MW-0007", "wwn": "naa.5000c500a1b2c3d4", "model": "VirtIO Disk"}
    assert validate(store, machine={"hardware": {"disks": [disk]}}, disk=hints)["disk"] == hints


def test_the_record_holds_no_user_data_but_knows_it(store: Store) -> None:
    one = validate(store, user_data="#cloud-config\npassword: s3cret\n")["record"]
    other = validate(store, user_data="#cloud-config\npassword: 0ther\n")["record"]
    assert "s3cret" not in json.dumps(one)
    assert one["fingerprint"] != other["fingerprint"]
    assert one["fingerprint"] == validate(store, user_data="#cloud-config\npassword: s3cret\n")["record"]["fingerprint"]
    assert set(one) == {"image", "content_sha256", "hostname", "address", "options", "fingerprint"}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"image": {"name": "ubuntu/24.04"}}, "image_unknown"),
        ({"image": {"arch": "arm64"}}, "image_arch"),
        ({"machine": {"firmware": "uefi"}}, "image_firmware"),
        ({"image": {"image_bytes": 5 * GIB}}, "disk_too_small"),
        ({"disk": {"name": "nvme0n1"}}, "disk_too_small"),
        ({"disk": {"serial": "none"}}, "no_disk"),
        ({"disk": {"min_size_gib": 8}}, "no_disk"),
        ({"machine": {"hardware": {"disks": []}}}, "no_disk"),
        ({"user_data": "#cloud-config\na: [b"}, "user_data_not_yaml"),
    ],
)
def test_what_can_not_be_deployed(store: Store, given: dict[str, Any], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        validate(store, **given)
    assert refused.value.code == code


def test_an_unknown_image_is_answered_with_those_there_are(store: Store) -> None:
    with pytest.raises(Invalid) as refused:
        validate(store, image={"name": "ubuntu/24.04"})
    assert refused.value.details["images"] == ["ubuntu/24.04"]


@pytest.mark.parametrize("status", ["importing", "failed"])
def test_an_image_that_is_not_ready(store: Store, status: str) -> None:
    with pytest.raises(Conflict) as refused:
        validate(store, image={"status": status})
    assert refused.value.code == "image_not_ready"


def test_a_machine_whose_firmware_and_disks_are_unknown_is_not_refused(store: Store) -> None:
    assert validate(store, machine={"firmware": None, "hardware": None, "state": "new"})["image"] == "debian/12"


@pytest.mark.parametrize("other", [{"name": "web-1"}, {"name": "node-2", "hostname": "web-1", "state": "deployed"}])
def test_a_host_name_that_is_taken(store: Store, other: dict[str, Any]) -> None:
    with store.write() as session:
        session.add(Machine(**other))
    with pytest.raises(Conflict) as refused:
        validate(store, hostname="WEB-1")
    assert (refused.value.code, refused.value.details["machine"]) == ("hostname_taken", other["name"])


@pytest.mark.parametrize(
    "given",
    [
        {"hostname": "web.example.com"},
        {"hostname": "-web"},
        {"hostname": "x" * 64},
        {"ssh_keys": ["ssh-ed25519"]},
        {"ssh_keys": ["ssh-ed25519 AAAA"]},
        {"ssh_keys": [KEY[:40]]},
        {"ssh_keys": [KEY.replace("ssh-ed25519", "ssh-rsa")]},
        {"ssh_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]},
        {"ssh_keys": [KEY + "\n" + KEY]},
        {"packages": ["--force"]},
        {"packages": ["a b"]},
        {"packages": [""]},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"timezone": ""},
        {"power_state": {"mode": "explode"}},
        {"power_state": {"delay": "+30"}},
        {"power_state": {"mode": "reboot", "delay": "soon"}},
        {"power_state": {"mode": "reboot", "when": "now"}},
        {"manage_etc_hosts": "template"},
        {"address": "10.0.0"},
        {"address": "10.0.0.256"},
        {"address": "static"},
        {"disk": {"nam": "sda"}},
        {"imag": "debian/12"},
        {"user_data": ["a"]},
    ],
)
def test_options_that_mean_nothing(store: Store, given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        validate(store, **given)
    assert KEY[20:60] not in str(refused.value)


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f'from="10.0.0.0/8",no-pty {KEY}',
        KEY.rpartition(" ")[0],
        f"  {KEY}\n",
    ],
)
def test_keys_as_authorized_keys_knows_them(store: Store, key: str) -> None:
    assert validate(store, ssh_keys=[key])["ssh_keys"] == [key.strip()]


@pytest.mark.parametrize(
    "text",
    [
        ISSUE_USER_DATA,
        "#cloud-config\n",
        "#cloud-config",
        "\n#cloud-config\na: 1\n",
        "#cloud-config\r\na: 1\r\n",
        "#cloud-config # ours\na: 1",
        "#!/bin/sh\necho hello\n",
        "#include\n# ours\nhttps://example.com/a\n",
        "#include-once\nhttp://example.com/a\n",
        "#cloud-boothook\n#!/bin/sh\n",
        "#cloud-config-archive\n- type: text/x-shellscript\n  content: a\n",
        "## template: jinja\n#cloud-config\nhostname: {{ ds.meta_data.instance_id }}\n",
        "## template: jinja\n#!/bin/sh\necho {{ v1.region }}\n",
        f"MIME-Version: 1.0\n{PARTS}\n\n--x\nContent-Type: text/cloud-config\n\n#cloud-config\na: 1\n--x--\n",
        f"{PARTS}\nMIME-Version: 1.0\n\n--x\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--x--\n",
    ],
)
def test_user_data_that_cloud_init_knows(text: str) -> None:
    userdata.check(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("packages: [htop]\n", "user_data_not_cloud_config"),
        ("#cloud-config\n- a\n- b\n", "user_data_not_cloud_config"),
        ("#cloud-config\nhello\n", "user_data_not_cloud_config"),
        ("#cloud-configuration\na: 1\n", "user_data_not_cloud_config"),
        ("hello world\n", "user_data_not_cloud_config"),
        ("# cloud-config\na: 1\n", "user_data_not_cloud_config"),
        ("#cloud-config-archive\na: 1\n", "user_data_not_cloud_config"),
        ("#cloud-config\na: [b\n", "user_data_not_yaml"),
        ("#cloud-config\na: 'b\n", "user_data_not_yaml"),
        ("#cloud-config\n\ta: b\n", "user_data_not_yaml"),
        ("#cloud-config\na: *b\n", "user_data_not_yaml"),
        ("#cloud-config\na: \x07\n", "user_data_not_yaml"),
        ("#cloud-config\n? [a, {b: c}]\n: d\n", "user_data_not_yaml"),
        ("#cloud-config\na: 2026-13-45\n", "user_data_not_yaml"),
        ("#cloud-config\na: !!python/object/apply:os.system [id]\n", "user_data_not_yaml"),
        ("#cloud-config\n" + "[" * 50_000, "user_data_not_yaml"),
        ("#cloud-config\n" + "- " * 200, "user_data_not_yaml"),
        (BOMB, "user_data_not_yaml"),
        ("a: [b\n", "user_data_not_yaml"),
        ("#!/bin/sh\r\necho\r\n", "user_data_not_script"),
        ("#!\necho\n", "user_data_not_script"),
        ("#include\nexample\n", "user_data_not_include"),
        ("## template: jinja\n#cloud-config\na: {{ b\n", "user_data_not_template"),
        ("## template: jinja\na: 1\n", "user_data_not_template"),
        ("MIME-Version: 1.0\n\nhello\n", "user_data_not_mime"),
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: text/cloud-config\n\na: [b\n--x--\n",
            "user_data_not_yaml",
        ),
    ],
)
def test_user_data_that_cloud_init_would_not_do(text: str, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        userdata.check(text)
    assert refused.value.code == code


def test_yaml_that_is_wrong_is_shown_by_line_and_column_without_its_text() -> None:
    with pytest.raises(Invalid) as refused:
        userdata.check("#cloud-config\npassword: s3cret\nusers:\n  - name: x: y\n")
    assert refused.value.details == {"line": 4, "column": 12}
    assert "line 4" in refused.value.message
    assert "s3cret" not in refused.value.message


def test_a_forgotten_header_is_told_what_to_add() -> None:
    with pytest.raises(Invalid) as refused:
        userdata.check("packages: [htop]\n")
    assert "#cloud-config" in refused.value.hint
