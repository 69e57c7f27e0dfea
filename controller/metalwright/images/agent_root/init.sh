#!/bin/sh
# Metalwright agent, stage 1: process 1 of the initrd (busybox). Mounts the squashed root with a writable layer in memory
# over it, puts the agent's code inside and hands over to the root's own init.

fail() {
    echo "metalwright: can not start the agent: $1"
    sleep 60
    reboot -f
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

while read -r module; do
    insmod "$module" || fail "$module does not load"
done </modules/order

mount -t squashfs -o loop,ro /root.squashfs /lower || fail "the root file system does not mount"
mount -t tmpfs -o mode=0755 upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work root /newroot || fail "no writable layer"

[ -d /metalwright-agent ] || fail "the boot loader did not pass the agent's code (second initrd)"
mkdir -p /newroot/opt/metalwright
cp -R /metalwright-agent /newroot/opt/metalwright/metalwright_agent

for directory in proc sys dev; do
    mount --move "/$directory" "/newroot/$directory"
done
exec switch_root /newroot /sbin/init
