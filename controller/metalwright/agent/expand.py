# SPDX-License-Identifier: GPL-3.0-or-later
"""From the bytes served to the bytes of the image: as they are, or decompressed by libzstd (RFC 8878).

The library is called directly and not through the program: the image would otherwise go through two pipes and, unaligned as
it then comes, through the page cache. On a machine under emulation that takes four times as long.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

from .errors import StepFailed

_LIBRARY = "libzstd.so.1"


class Expander(Protocol):
    """Turns pieces of the file served into pieces of the image."""

    def step(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        """Take some of ``source``, fill some of ``target`` (neither is read-only); return how many bytes of each.

        When ``target`` is not filled to its end, ``source`` is used up.
        """

    def finish(self) -> None:
        """See that nothing is missing at the end. Raises ``StepFailed`` (``image_corrupt``)."""


class Copy:
    """For an image that is served as it is."""

    def step(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        """See ``Expander``."""
        count = min(len(source), len(target))
        target[:count] = source[:count]
        return count, count

    def finish(self) -> None:
        """There is nothing that could be missing."""


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer of zstd.h."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


class Zstd:
    """For an image compressed by zstd, in any number of frames."""

    def __init__(self) -> None:
        """Raises ``StepFailed`` (``agent_error``) when the library is missing."""
        try:
            library = ctypes.CDLL(_LIBRARY)
        except OSError as error:
            raise StepFailed("agent_error", f"the agent's system lacks {_LIBRARY}: {error}") from error
        library.ZSTD_createDStream.restype = ctypes.c_void_p
        library.ZSTD_freeDStream.argtypes = [ctypes.c_void_p]
        library.ZSTD_decompressStream.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Buffer), ctypes.POINTER(_Buffer)]
        library.ZSTD_decompressStream.restype = ctypes.c_size_t
        library.ZSTD_isError.argtypes = [ctypes.c_size_t]
        library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
        library.ZSTD_getErrorName.restype = ctypes.c_char_p
        self._library = library
        self._stream = library.ZSTD_createDStream()
        self._inside_frame = True

    def step(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        """See ``Expander``. Raises ``StepFailed`` (``image_corrupt``)."""
        taken, given = _buffer(source), _buffer(target)
        hint = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(given), ctypes.byref(taken))
        if self._library.ZSTD_isError(hint):
            raise StepFailed("image_corrupt", f"the image does not decompress: {self._library.ZSTD_getErrorName(hint).decode()}")
        if taken.position or given.position:
            self._inside_frame = hint != 0
        return taken.position, given.position

    def finish(self) -> None:
        """See ``Expander``."""
        if self._inside_frame:
            raise StepFailed("image_corrupt", "the image does not decompress: it ends too early")

    def __del__(self) -> None:
        if getattr(self, "_stream", None):
            self._library.ZSTD_freeDStream(self._stream)


def _buffer(view: memoryview) -> _Buffer:
    start = ctypes.addressof(ctypes.c_char.from_buffer(view)) if view else None
    return _Buffer(start, len(view), 0)
