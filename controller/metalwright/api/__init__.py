# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin plane, ``/api/v1``: people, modules and programs that hold a token.

One file per resource with its schemas beside it (``machines.py``, ``machine_schema.py``). ``endpoint.py`` is what an endpoint
is; ``auth.py`` refuses everybody by default; ``errors.py`` gives every error one shape; ``openapi.py`` describes it all from
the code itself.
"""
