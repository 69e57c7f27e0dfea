# SPDX-License-Identifier: GPL-3.0-or-later
"""What the controller logs: lines for people on a terminal, one JSON object a line elsewhere, and never a secret.

Everything goes to standard error, the standard library's ``logging`` included. The last step before a line is written blanks
tokens in paths of the node plane and values whose name says that they are secret, wherever they come from.
"""

from __future__ import annotations

import logging
import re
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any, TextIO

from metalwright.lifecycle.tokens import BLANK, blanked

_SECRET_NAME = re.compile(r"password|passwd|secret|token|authorization|user_data|private", re.IGNORECASE)


def blank_secrets(_logger: Any, _method: str, fields: Any) -> Any:
    """Processor of structlog: no token and no secret leaves the process in a log."""
    for name, value in fields.items():
        if isinstance(value, str):
            fields[name] = BLANK if _SECRET_NAME.search(name) and value else blanked(value)
    return fields


def headed(_logger: Any, _method: str, fields: Any) -> Any:
    """Processor of structlog: when, how grave and what come first, for eyes that read JSON."""
    first = {name: fields.pop(name) for name in ("timestamp", "level", "event") if name in fields}
    return {**first, **fields}


class Forgiving:
    """A stream for a log: what can not be written is left out, for a full disk must not end what is only told of."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if that is possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def configure() -> None:
    """Set up structlog and the standard library's logging for this process and those it forks."""
    structlog = _import_structlog()
    human = sys.stderr.isatty()
    stream = Forgiving(sys.stderr)
    common: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        structlog.processors.format_exc_info,
        blank_secrets,
        headed,
    ]
    renderer: Any = structlog.processors.JSONRenderer()
    if human:
        renderer = structlog.dev.ConsoleRenderer(
            pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
        )
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=common, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)


def _import_structlog() -> ModuleType:
    """Import structlog without rich: it would import the whole of it (6 MB, 60 ms) only to paint tracebacks."""
    hidden = sys.modules.get("rich")
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog
        import structlog.dev
        import structlog.stdlib
    finally:
        del sys.modules["rich"]
        if hidden is not None:
            sys.modules["rich"] = hidden
    return structlog
