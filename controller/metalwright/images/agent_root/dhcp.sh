#!/bin/sh
# Called by udhcpc (busybox) with what DHCP answered in the environment.

case "$1" in
deconfig)
    ip address flush dev "${interface:?}"
    ;;
bound | renew)
    ip address replace "${ip:?}/${mask:-24}" dev "${interface:?}"
    for gateway in ${router:-}; do
        ip route replace default via "$gateway" dev "${interface:?}"
        break
    done
    {
        [ -n "$domain" ] && echo "search $domain"
        for server in ${dns:-}; do
            echo "nameserver $server"
        done
    } >/etc/resolv.conf
    [ -n "$hostname" ] && hostname "$hostname"
    ;;
esac
exit 0
