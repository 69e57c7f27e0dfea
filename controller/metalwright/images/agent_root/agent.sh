#!/bin/sh
# Runs the agent; init (busybox) starts it again when it ends. What it prints is seen on the serial console and the screen.

cd /opt/metalwright || exit 1
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
export METALWRIGHT_WAIT_FOR=/run/metalwright-ready
if [ -e /run/metalwright-started ]; then
    echo "metalwright: the agent has ended; starting it again in 5 s" >/dev/console
    sleep 5
fi
touch /run/metalwright-started
python3 -m metalwright_agent 2>&1 | tee /dev/tty0 >/dev/console
