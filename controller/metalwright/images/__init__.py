# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: operating systems that machines are given, the agent that installs them, the loaders that start either."""
