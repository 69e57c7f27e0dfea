#!/bin/sh
# Installs what Metalwright needs on this host: Debian packages that are missing, and a virtual environment in .venv.
# Usage: packaging/bootstrap.sh EXTRAS    (EXTRAS: "" for the lab, "[test]" for the tests)
set -eu
cd "$(dirname "$0")/.."
extras=${1:-}

packages="
    apt-cacher-ng busybox-static cpio debian-archive-keyring dnsmasq-base dosfstools e2fsprogs gcc gdisk grub-common
    grub-efi-amd64-bin grub-pc-bin ipmitool iproute2 ipxe ipxe-qemu libc6-dev libvirt-daemon libvirt-daemon-driver-qemu
    libvirt-dev mmdebstrap mtools openssh-client ovmf pkg-config python3-dev python3-venv qemu-system-x86 qemu-utils socat
    squashfs-tools util-linux xz-utils zstd"
case $extras in *test*) packages="$packages bind9-dnsutils curl dropbear-bin git nftables openssl postgresql procps shellcheck udev" ;; esac

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

missing=""
for package in $packages; do
    if ! dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed; then
        missing="$missing $package"
    fi
done
if [ -n "$missing" ]; then
    echo "Installing Debian packages:$missing"
    as_root apt-get -qq update
    # Services must not start on this host by being installed: the lab runs its own package cache, out of the network's sight,
    # and the tests their own PostgreSQL.
    keep_down=""
    if [ -d /run/systemd/system ]; then
        case $missing in *apt-cacher-ng*) keep_down=apt-cacher-ng.service ;; esac
        case $missing in *postgresql*) keep_down="$keep_down postgresql.service" ;; esac
    fi
    # shellcheck disable=SC2086  # a list of words
    [ -z "$keep_down" ] || as_root systemctl --quiet mask --runtime $keep_down
    # shellcheck disable=SC2086  # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends $missing >/dev/null
    # shellcheck disable=SC2086  # a list of words
    [ -z "$keep_down" ] || as_root systemctl --quiet disable $keep_down
    # shellcheck disable=SC2086  # a list of words
    [ -z "$keep_down" ] || as_root systemctl --quiet unmask --runtime $keep_down
fi

python=${PYTHON:-python3}
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "Metalwright needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Set PYTHON=/path/to/python3." >&2
    exit 1
fi
[ -x .venv/bin/python ] || "$python" -m venv .venv
echo "Installing Python packages into .venv"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extras"
