# SPDX-License-Identifier: GPL-3.0-or-later
"""``metalwright serve``: one supervisor that opens every socket, and the children that serve them.

The supervisor imports the application once, opens all listening sockets and forks a child for each service. A child that dies
is forked again within milliseconds from memory that is already warm, and no connection is refused meanwhile: it waits in the
backlog of a socket the supervisor holds. When the supervisor itself is killed, the kernel ends every child with it.
"""
