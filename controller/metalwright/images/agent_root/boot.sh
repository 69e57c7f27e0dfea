#!/bin/sh
# Metalwright agent, stage 2: run by init (busybox) before anything else.

mkdir -p /dev/pts /dev/shm /run
mount -t tmpfs -o mode=0755,nosuid,nodev run /run
mount -t devpts -o mode=0620,gid=5 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmp /tmp
mkdir -p /run/lock /run/lldpd
ip link set lo up
hostname metalwright-agent

/usr/lib/systemd/systemd-udevd --daemon
