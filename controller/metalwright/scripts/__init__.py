# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts that come with Metalwright, as the files that machines are given; ``lifecycle.script_catalogue`` reads them."""
