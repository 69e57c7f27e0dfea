# SPDX-License-Identifier: GPL-3.0-or-later
"""One Redfish conversation, by sushy. Calls as in ``ipmi``, and ``probe``, which answers all systems of a service.

Names are those of DMTF's DSP0266 (protocol) and DSP0268 (ComputerSystem: ``PowerState``, ``ResetType``, ``Boot``).
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import Any

import sushy
from sushy import auth, exceptions
from sushy.resources.system.system import System

from metalwright.calls.conversation import Failed, arrive, out_of_reach, within

CONNECT = 5.0
"""Seconds for a TCP connection at most."""
AUTH = {"auto": auth.SessionOrBasicAuth, "session": auth.SessionAuth, "basic": auth.BasicAuth}
RESETS = {
    "on": (sushy.ResetType.ON, sushy.ResetType.FORCE_ON),
    "off": (sushy.ResetType.FORCE_OFF,),
    "soft": (sushy.ResetType.GRACEFUL_SHUTDOWN, sushy.ResetType.PUSH_POWER_BUTTON),
    "cycle": (sushy.ResetType.FORCE_RESTART, sushy.ResetType.POWER_CYCLE),
}
"""What is asked for, the first that the system offers."""
SETTLED = {sushy.PowerState.ON: "on", sushy.PowerState.OFF: "off"}
TOWARDS = {sushy.PowerState.POWERING_ON: "on", sushy.PowerState.POWERING_OFF: "off", sushy.PowerState.PAUSED: "on"}
ARCHITECTURES = {"x86-64": "amd64", "ARM-A64": "arm64"}
NOTHING_KNOWN: dict[str, Any] = {"macs": [], "arch": None, "firmware": None}
FIRMWARE = {sushy.BootSourceOverrideMode.UEFI: "uefi", sushy.BootSourceOverrideMode.LEGACY: "bios"}


def converse(request: dict[str, Any]) -> Any:
    """Connect, log in, do the call, log out."""
    logging.disable()
    end = time.monotonic() + request["timeout"]
    with within(request["timeout"], "bmc_unreachable", "it stopped answering"):
        try:
            root = connect(request)
            try:
                return CALLS[request["call"]](root, request, end)
            finally:
                with contextlib.suppress(exceptions.SushyError):
                    root._auth.close()  # BMCs have few sessions, and forget none before half an hour
        except exceptions.AccessError as error:
            said = f"it answered {error.status_code}: the user name or the password is wrong, or the user may not do this"
            raise Failed("bmc_auth_failed", said) from None
        except exceptions.ConnectionError as error:
            raise out_of_reach(error) from None
        except exceptions.ResourceNotFoundError as error:
            raise Failed("power_misconfigured", f"it answered 404: {error}") from None
        except exceptions.HTTPError as error:
            raise Failed("power_refused", f"it answered {error.status_code}: {error.detail or error.code}") from None
        except exceptions.SushyError as error:
            raise Failed("power_refused", f"it gave an answer that is not understood: {error}") from None


def connect(request: dict[str, Any]) -> Any:
    """A service whose root was read and that let us in."""
    try:
        return sushy.Sushy(
            request["address"],
            auth=AUTH[request["auth"]](request["username"], request["password"]),
            verify=request["verify"],
            server_side_retries=1,  # sushy takes 0 for 3
            server_side_retries_delay=1,
            connect_timeout=min(CONNECT, request["timeout"] / 2),
            read_timeout=request["timeout"],
        )
    except exceptions.ResourceNotFoundError:
        raise Failed("power_misconfigured", _no_service(request)) from None
    except exceptions.MissingAttributeError:
        raise Failed("power_misconfigured", "what answers there does not speak Redfish") from None
    except ValueError:  # the answer is no JSON
        raise Failed("power_misconfigured", "what answers there does not speak Redfish") from None
    except OSError as error:  # of requests, about the file of certificates
        raise Failed("power_misconfigured", f"the certificates to verify it by can not be read: {error}") from None


def _no_service(request: dict[str, Any]) -> str:
    if request["auth"] == "session":
        return "it has no Redfish service with sessions there"
    return "it has no Redfish service there"


def find(root: Any, wanted: str | None) -> System:
    """The system of that ``Id``, or the only one."""
    paths = list(root.get_system_collection().members_identities)
    known = {path.rstrip("/").rpartition("/")[2]: path for path in paths}
    if wanted is None and len(paths) == 1:
        return root.get_system(paths[0])
    if wanted is not None and (path := known.get(wanted.rstrip("/").rpartition("/")[2])):
        return root.get_system(path)
    named = ", ".join(sorted(known)[:10]) or "none"
    which = f"there is no system {wanted!r}" if wanted else f"it has {len(paths)} systems, and none is named"
    raise Failed("power_misconfigured", f"{which}; its systems are: {named}")


def query(root: Any, request: dict[str, Any], _end: float) -> str:
    """Return the power state; on the way to one it is that one."""
    now = find(root, request["system"]).power_state
    return SETTLED.get(now) or TOWARDS.get(now) or "unknown"


def power(root: Any, request: dict[str, Any], end: float) -> str:
    """Bring about the wanted state and return it. BMCs confirm a reset seconds before it takes effect."""
    system, wanted = find(root, request["system"]), request["wanted"]
    if system.power_state in TOWARDS:
        settle(system, None, end)
    now = SETTLED.get(system.power_state)
    if wanted == "cycle" and now == "off":
        wanted = "on"
    if wanted in ("soft", "cycle"):
        if now == "on" or wanted == "cycle":
            reset(system, wanted)
        return now or "unknown"
    if now != wanted:
        reset(system, wanted)
        settle(system, wanted, end)
    return str(wanted)


def reset(system: System, how: str) -> None:
    """Ask for the first ``ResetType`` of ``RESETS`` that the system offers."""
    offered = system.get_allowed_reset_system_values()
    kind = next((each for each in RESETS[how] if each in offered), None)
    if kind is None:
        names = " nor ".join(each.value for each in RESETS[how])
        raise Failed("power_refused", f"the system does not offer {names}")
    system.reset_system(kind)


def settle(system: System, wanted: str | None, end: float) -> None:
    """Wait until the system is in the wanted power state (None: in any that is not on the way to another)."""

    def look() -> str:
        system.refresh(force=True)
        return system.power_state.value if system.power_state else "in no state"

    ends = [state.value for state, settled in SETTLED.items() if wanted in (settled, None)]
    arrive(None, ends, look, end)


def boot(root: Any, request: dict[str, Any], _end: float) -> None:
    """Set the device of the next start, and the mode if the system is known to be in the other one."""
    system = find(root, request["system"])
    mode = sushy.BootSourceOverrideMode.UEFI if request["uefi"] else sushy.BootSourceOverrideMode.LEGACY
    now = system.boot.mode if system.boot else None
    try:
        system.set_system_boot_options(
            target=sushy.BootSource.PXE if request["device"] == "network" else sushy.BootSource.HDD,
            enabled=sushy.BootSourceOverrideEnabled.ONCE,
            mode=mode if now is not None and now != mode else None,
        )
    except exceptions.InvalidParameterValueError as error:
        raise Failed("power_refused", f"it can not boot from {request['device']} once: {error}") from None


def probe(root: Any, _request: dict[str, Any], _end: float) -> list[dict[str, Any]]:
    """Name, MAC addresses, architecture, firmware and own parameters of every system of the service; of one whose answers are
    not understood its ``Id`` and, as ``problem``, why. The others do not suffer for it."""
    found = []
    for path in root.get_system_collection().members_identities:
        try:
            found.append(describe(root.get_system(path)))
        except exceptions.ConnectionError:
            raise  # the service is gone, not one system of it
        except (exceptions.SushyError, ValueError) as error:
            identity = path.rstrip("/").rpartition("/")[2]
            found.append({**NOTHING_KNOWN, "name": identity, "parameters": {"system": identity}, "problem": _reason(error)})
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, exceptions.HTTPError):
        return f"it answered {error.status_code}: {error.detail or error.code}"
    return f"it gave an answer that is not understood: {error}"


def describe(system: System) -> dict[str, Any]:
    """One system; what it does not tell is None, or an empty list."""
    return {
        "name": system.hostname or system.name or system.identity,
        "macs": _macs(system),
        "parameters": {"system": system.identity},
        "arch": _architecture(system),
        "firmware": FIRMWARE.get(system.boot.mode) if system.boot else None,
    }


def _macs(system: System) -> list[str]:
    try:
        cards = system.ethernet_interfaces.get_members()
    except exceptions.MissingAttributeError:
        return []
    return [mac for card in cards if (mac := card.permanent_mac_address or card.mac_address)]


def _architecture(system: System) -> str | None:
    try:
        processors = system.processors.get_members()
    except exceptions.SushyError:
        return None
    sets = (each.json.get("InstructionSet") for each in processors)
    return next((ARCHITECTURES[each] for each in sets if each in ARCHITECTURES), None)


CALLS = {"query": query, "power": power, "boot": boot, "probe": probe}
