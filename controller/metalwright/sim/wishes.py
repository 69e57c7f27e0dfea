# SPDX-License-Identifier: GPL-3.0-or-later
"""What a fleet is to be like, and the dice of one machine: the same seed throws the same numbers for it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PHASES = ("firmware", "loader", "kernel", "agent", "write", "first-boot")
"""Where a machine may die, in the order in which it comes there."""

BmcKind = Literal["webhook", "ipmi"]
Mood = Literal["well", "late", "twice", "never"]
"""How a BMC answers."""
MOODS: tuple[Mood, ...] = ("late", "twice", "never")


@dataclass(frozen=True)
class Wishes:
    """Shares are from 0 to 1, times in seconds."""

    count: int = 100
    ramp: float = 0.0
    """Machines are told to deploy evenly over so long; 0: all at once."""
    loss: float = 0.0
    """Of datagrams, and of HTTP calls: the call or its answer."""
    delay: float = 0.0
    """Before each datagram and each call, give or take a half."""
    duplicate: float = 0.0
    """Of HTTP calls: they arrive three times, twice at once and once more after the answer. Datagrams arrive twice."""
    flaky_bmcs: float = 0.0
    """Of BMCs: they answer late, twice or never."""
    moods: tuple[Mood, ...] = MOODS
    """Which of these flaky BMCs are in."""
    dies_at: Mapping[str, float] = field(default_factory=dict)
    """By phase, of machines: they fall silent there once, until their power is cut."""
    late: float = 3.0
    """How late a late BMC answers."""
    bmc: BmcKind = "webhook"
    seed: int = 0
    prefix: str = "sim"

    def name(self, number: int) -> str:
        """Of the machine of that number, which counts from 0."""
        return f"{self.prefix}-{number:05d}"

    def dice(self, number: int, purpose: str = "") -> random.Random:
        """The dice of one machine."""
        return random.Random(f"{self.seed}/{number}/{purpose}")  # noqa: S311 - a replay, not a secret

    def mood(self, number: int) -> Mood:
        """How the BMC of that machine answers."""
        dice = self.dice(number, "bmc")
        return dice.choice(self.moods) if dice.random() < self.flaky_bmcs else "well"

    def death(self, number: int) -> str | None:
        """The phase in which that machine dies; None: it does not."""
        thrown = self.dice(number, "death").random()
        for phase in PHASES:
            thrown -= self.dies_at.get(phase, 0.0)
            if thrown < 0:
                return phase
        return None
