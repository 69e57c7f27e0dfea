# SPDX-License-Identifier: GPL-3.0-or-later
"""What every engine tells machines that boot from the network; docs/reference/network-boot.md has the rules and their sources."""

from __future__ import annotations

from urllib.parse import urlsplit

from metalwright.config import Settings

FIRMWARE = {0: "bios", 20: "bios", 7: "efi64", 9: "efi64", 16: "efi64"}
"""Client system architecture (option 93, RFC 4578 and IANA) to the kind of loader it runs. 9 is sent by old x86-64 firmware.
Others get an address and no loader."""
LOADERS = {"bios": "undionly.kpxe", "efi64": "snponly.efi"}
"""snponly.efi drives the card through the firmware; ipxe.efi's own drivers hang on several cards."""


def tftp_server(settings: Settings) -> str:
    """Option 66 is text, so an engine can not fill in its own address as it does for next-server."""
    host = settings.tftp.listen.rpartition(":")[0]
    return host if host and host != "0.0.0.0" else urlsplit(settings.node.url).hostname or host  # noqa: S104
