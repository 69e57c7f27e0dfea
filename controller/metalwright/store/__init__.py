# SPDX-License-Identifier: GPL-3.0-or-later
"""The database: typed models, sessions, migrations. Nobody else writes SQL."""

from metalwright.store.session import Store

__all__ = ["Store"]
