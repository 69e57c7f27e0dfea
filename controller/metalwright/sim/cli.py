# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright sim``: a fleet of pretend machines, to see how many a controller can serve and what it does on a bad day."""

from __future__ import annotations

import asyncio
import os
import random
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from metalwright.cli.client import find_access
from metalwright.cli.failure import OTHER
from metalwright.cli.output import emit_json
from metalwright.errors import Invalid, MetalwrightError, Unavailable
from metalwright.sim.wishes import PHASES, BmcKind, Wishes

if TYPE_CHECKING:
    from metalwright.sim.fleet import Where

_PATIENCE = 3600.0
_SETTINGS = "[limits]\ninstalls = 500\nworkers = 16\ncalls_per_bmc = 16\n"


class _Share(click.ParamType[float]):
    """A percentage, which becomes a share."""

    name = "percent"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(str(value).removesuffix("%"))
        except ValueError:
            self.fail(f"{value!r} is no percentage.", param, ctx)
        if not 0 <= number <= 100:
            self.fail(f"{value!r} is not between 0 and 100.", param, ctx)
        return number / 100


class _Death(click.ParamType[tuple[str, float]]):
    """PHASE=PERCENT."""

    name = "phase=percent"

    def convert(
        self, value: str | tuple[str, float], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        if isinstance(value, tuple):
            return value
        phase, _, percent = value.partition("=")
        if phase not in PHASES:
            self.fail(f"there is no phase {phase!r}: {', '.join(PHASES)}.", param, ctx)
        return phase, _Share().convert(percent, param, ctx)


_NONE = "0"


@click.command()
@click.option("--count", type=click.IntRange(1, 50_000), default=100, show_default=True, help="How many machines.")
@click.option("--ramp", type=click.FloatRange(0), default=0.0, help="Seconds over which they are told to deploy. 0: at once.")
@click.option(
    "--loss", type=_Share(), default=_NONE, help="Percentage of datagrams, and of calls or their answers, that are lost."
)
@click.option("--delay", type=click.FloatRange(0), default=0.0, help="Milliseconds that each takes, give or take a half.")
@click.option("--duplicate", type=_Share(), default=_NONE, help="Percentage of agents' calls that arrive three times.")
@click.option("--flaky-bmcs", type=_Share(), default=_NONE, help="Percentage of BMCs that answer late, twice or never.")
@click.option(
    "--dies-at",
    type=_Death(),
    multiple=True,
    metavar="PHASE=PERCENT",
    help=f"Machines that fall silent there, until they are turned off. Phases: {', '.join(PHASES)}. May be given again.",
)
@click.option(
    "--bmc",
    type=click.Choice(("webhook", "ipmi")),
    default="webhook",
    show_default=True,
    help="How machines are turned on: a web server for all of them, for thousands; a real BMC for each, for hundreds.",
)
@click.option("--seed", type=click.IntRange(0), help="Replays a run: what goes wrong with which machine. Default: any.")
@click.option("--prefix", default="sim", show_default=True, help="What machines' names begin with.")
@click.option(
    "--self-contained", is_flag=True, help="Make a controller for this run and throw it away. Else METALWRIGHT_URL says which."
)
@click.option(
    "--network/--no-network",
    default=None,
    help="With --self-contained: DHCP and TFTP too, in network namespaces of their own; needs root. Default: if root.",
)
@click.option("--node-url", help="Of the controller that is given: its [node] url.")
@click.option("--image", help="Of the controller that is given: the image to deploy.")
@click.option("--relay", help="Of the controller that is given: an address of this host in its subnet, to ask for DHCP from.")
@click.option("--bmc-host", default="127.0.0.1", show_default=True, help="An address of this host that the controller reaches.")
@click.option("--keep", is_flag=True, help="Leave the machines on the controller.")
@click.option("--patience", type=click.FloatRange(1), default=_PATIENCE, show_default=True, help="Seconds it may take.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def sim(
    context: click.Context,
    count: int,
    ramp: float,
    loss: float,
    delay: float,
    duplicate: float,
    flaky_bmcs: float,
    dies_at: tuple[tuple[str, float], ...],
    bmc: BmcKind,
    seed: int | None,
    prefix: str,
    self_contained: bool,
    network: bool | None,
    node_url: str | None,
    image: str | None,
    relay: str | None,
    bmc_host: str,
    keep: bool,
    patience: float,
    as_json: bool,
) -> None:
    """Have a fleet of pretend machines commissioned and deployed, and tell how long everything took.

    They speak what machines speak, to a real controller. Exit code 1 if a machine was lost or anything stayed under way.
    """
    chosen = random.SystemRandom().randrange(1 << 16) if seed is None else seed
    wishes = Wishes(
        *(count, ramp, loss, delay / 1000, duplicate, flaky_bmcs), dies_at=dict(dies_at), bmc=bmc, seed=chosen, prefix=prefix
    )
    if sum(wishes.dies_at.values()) > 1:
        raise Invalid("sim_impossible", "More than all machines are to die.", "Let the percentages of --dies-at be 100 at most.")
    from metalwright.sim.fleet import Fleet, Where
    from metalwright.sim.show import shown, summary

    with ExitStack() as stack:
        if self_contained:
            where = _throwaway(stack, os.geteuid() == 0 if network is None else network)
        else:
            if node_url is None or image is None:
                message = "A controller that is given needs --node-url and --image; --self-contained makes one."
                raise Invalid("sim_incomplete", message, "Its configuration says the one, 'metalwright image list' the other.")
            dhcp = (relay, node_url.split("/")[2].partition(":")[0]) if relay else None
            where = Where(find_access(os.environ), node_url.rstrip("/"), image, dhcp, bmc_host)
        show = stack.enter_context(shown()) if not as_json else None
        try:
            report = asyncio.run(Fleet(wishes, where).run(patience=patience, keep=keep or self_contained, show=show))
        except TimeoutError:
            raise Unavailable("sim_timeout", f"Not all machines came to an end within {patience:.0f} s.") from None
        except OSError as error:
            raise MetalwrightError("sim_refused", f"The simulator can not go on: {error}.") from None
    if as_json:
        emit_json(report.as_dict())
    else:
        summary(report)
    if not report.well:
        context.exit(OTHER)


def _throwaway(stack: ExitStack, network: bool) -> Where:
    """A controller for this run, with or without the network around it."""
    from metalwright.sim import cabling
    from metalwright.sim.fleet import Where
    from metalwright.sim.throwaway import IMAGE, Throwaway

    cable = cabling.Cabling() if network else None
    if cable is not None:
        stack.callback(cable.close)
    controller = Throwaway(cable, _SETTINGS)
    stack.callback(controller.close)
    controller.start()
    if cable is None:
        return Where(controller.access, controller.node_url, IMAGE, subnet=cabling.SUBNET)
    relay = (cabling.RELAY, cabling.CONTROLLER)
    outside = (cabling.ROUTER, cabling.BMCS)
    return Where(controller.access, controller.node_url, IMAGE, relay, *outside, subnet=cabling.SUBNET)
