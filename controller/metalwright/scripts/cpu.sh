#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# --- metalwright
# name: cpu
# kind: test
# title: All processors under full load, their results verified (stress-ng)
# timeout: 1d
# parameters:
#   duration: {type: duration, default: 10m, description: How long they are loaded.}
# ---
#
# Fails if a result was wrong, or if the kernel told of a hardware error (machine check) meanwhile.
# Result: {"processors", "seconds", "hardware_errors"}.

seconds=${METALWRIGHT_PARAM_DURATION:-600}
errors() { dmesg 2>/dev/null | grep -c '\[Hardware Error\]'; }

before=$(errors)
processors=$(nproc)
echo "loading $processors processors for $seconds s"
stress-ng --cpu 0 --cpu-method all --verify --timeout "${seconds}s" --metrics-brief --temp-path "$PWD"
status=$?
new=$(($(errors) - before))

if [ -n "$METALWRIGHT_RESULT" ]; then
    printf '{"processors": %d, "seconds": %d, "hardware_errors": %d}\n' "$processors" "$seconds" "$new" >"$METALWRIGHT_RESULT"
fi
if [ "$new" -gt 0 ]; then
    echo "the kernel told of $new hardware errors:"
    dmesg | grep '\[Hardware Error\]' | tail -n 50
    exit 1
fi
exit "$status"
