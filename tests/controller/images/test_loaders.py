# SPDX-License-Identifier: GPL-3.0-or-later
"""The boot loaders, installed from this host's packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from metalwright.errors import Unavailable
from metalwright.images import loaders


def test_all_loaders_are_installed_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        loaders.install(tmp_path / "loaders")
        assert {path.name for path in (tmp_path / "loaders").iterdir()} == {*loaders.IPXE_LOADERS, loaders.LOCAL_BOOT}
    local = (tmp_path / "loaders" / loaders.LOCAL_BOOT).read_bytes()
    assert local[:2] == b"MZ"  # PE/COFF, as UEFI 2.10 section 2.1.1 wants it
    assert b"/EFI/debian/shimx64.efi" in local


@pytest.mark.parametrize(("missing", "package"), [("GRUB", "grub-efi-amd64-bin"), ("IPXE", "ipxe")])
def test_a_package_that_is_missing_is_named_before_anything_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, package: str
) -> None:
    monkeypatch.setattr(loaders, missing, tmp_path / "not-installed")
    with pytest.raises(Unavailable) as refused:
        loaders.install(tmp_path / "loaders")
    assert (refused.value.code, refused.value.details["packages"]) == ("tools_missing", [package])
    assert refused.value.hint == f"apt-get install {package}"
    assert not (tmp_path / "loaders").exists()
