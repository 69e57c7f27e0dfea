# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that run on deployed machines. Standard library of Python 3.6 only; nothing of ours is there."""
