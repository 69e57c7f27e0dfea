#!/bin/sh
# Loads drivers and brings up the network the machine booted from, while the agent is being loaded; it waits for the last line.

say() { echo "metalwright: $*" >/dev/console; }

# Some modprobes for what there is already, and udev for what appears by that. To have udev go through everything ("coldplug")
# takes three times as long. Those of /sys/devices/system are of processors: ways to encrypt faster, which load by themselves.
find /sys/devices -path /sys/devices/system -prune -o -name modalias -exec cat {} + | sort -u | xargs -n 6 -P 4 modprobe -abq &
drivers=$!
udevadm trigger --type=devices --action=add --subsystem-match=net --subsystem-match=block
if [ -d /sys/firmware/efi ]; then
    modprobe efivarfs
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
fi

# BOOTIF=01-aa-bb-cc-dd-ee-ff as pxelinux and iPXE write it: hardware type, then the address.
wanted=$(sed -n 's/.*\bBOOTIF=\(01-\)\?\([0-9A-Fa-f:-]*\).*/\2/p' /proc/cmdline | tr 'A-F-' 'a-f:')

# An interface counts once udev has named it: renaming is refused when it is up. ID_RENAMING stands in the record meanwhile.
boot_interface() {
    for path in /sys/class/net/*; do
        [ -e "$path/device" ] || continue
        read -r address <"$path/address"
        read -r index <"$path/ifindex"
        record=/run/udev/data/n$index
        if [ "${wanted:-$address}" = "$address" ] && grep -q '^I:' "$record" && ! grep -q ID_RENAMING "$record"; then
            echo "${path##*/}"
            return
        fi
    done 2>/dev/null
    return 1
}

tries=0
until name=$(boot_interface) && ip link set "$name" up 2>/dev/null; do
    tries=$((tries + 1))
    if [ $((tries % 50)) -eq 0 ]; then
        say "still looking for the network interface ${wanted:-(any)}; there are: $(cat /sys/class/net/*/address | tr '\n' ' ')"
    fi
    sleep 0.2
done
say "asking for an address on $name $wanted"
until udhcpc -i "$name" -s /usr/lib/metalwright/dhcp -p /run/udhcpc.pid -t 8 -T 2 -A 1 -n -S; do
    say "no DHCP answer on $name"
    sleep 1
    name=$(boot_interface) # it may have been renamed under us
done

# The agent may ask for disks at once: let every driver finish finding them (SCSI hosts scan in modprobe, see modprobe.d).
wait "$drivers"
# The rest is not waited for: neighbours are heard of every 30 s at most, and a BMC's driver may take seconds.
(
    for path in /sys/class/net/*; do
        [ -e "$path/device" ] && ip link set "${path##*/}" up
    done
    lldpd -r
    [ -d /sys/module/ipmi_si ] && modprobe ipmi_devintf
) >/dev/null 2>&1 &
udevadm settle --timeout=30
touch /run/metalwright-ready
