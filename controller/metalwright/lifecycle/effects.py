# SPDX-License-Identifier: GPL-3.0-or-later
"""What the outbox's tasks do to the world. Every effect may be carried out twice."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import select

from metalwright.config import Settings
from metalwright.errors import MetalwrightError
from metalwright.images import catalogue, importer
from metalwright.lifecycle.power_effects import PowerEffects
from metalwright.lifecycle.tasks import Claimed
from metalwright.lifecycle.together import Together
from metalwright.lifecycle.worker import Handler
from metalwright.network import engines
from metalwright.network.state import read as read_network
from metalwright.store import Store
from metalwright.store.base import Clock, utcnow
from metalwright.store.events import record
from metalwright.store.models import Image


class Effects:
    """The handlers, by the kind of their task."""

    def __init__(self, settings: Settings, store: Store, clock: Clock = utcnow) -> None:
        self.settings = settings
        self.store = store
        self.clock = clock
        self._engine = engines.create(settings)
        self._network = Together(self._apply_network)

    def handlers(self) -> dict[str, Handler]:
        """Kind of task to what carries it out."""
        return {
            **PowerEffects(self.settings, self.store, self.clock, self.apply_network).handlers(),
            "network.apply": self.apply_network,
            "image.import": self.import_image,
        }

    def apply_network(self, _task: Claimed) -> None:
        """Bring DHCP and DNS to what the database says."""
        self._network()

    def _apply_network(self) -> None:
        with self.store.session() as session:
            state = read_network(session)
        self._engine.apply(state)

    def import_image(self, task: Claimed) -> None:
        """Fetch, check and convert an image; its row says how far it is and how it ended."""
        image_id, sha256 = task.payload["image"], task.payload.get("sha256")
        with self.store.session() as session:
            image = session.get(Image, image_id)
            if image is None or image.status == "ready":
                return
        try:
            imported = importer.import_image(
                task.payload["source"], sha256=sha256, target=self.settings.images_dir, progress=self._image_progress(image_id)
            )
        except MetalwrightError as error:
            self._image_failed(image_id, error)
            raise
        with self.store.write() as session:
            stored = session.get(Image, image_id)
            if stored is not None:
                catalogue.complete(stored, imported)
                record(session, "image.ready", f"image {stored.name} is ready", data={"image": stored.id}, at=self.clock())
            same = select(Image.id).where(Image.content_sha256 == imported.content_sha256)
            unwanted = stored is None and session.scalar(same.limit(1)) is None
        if unwanted:  # deleted while it was imported
            catalogue.remove_content(self.settings, imported.content_sha256)

    def _image_failed(self, image_id: str, error: MetalwrightError) -> None:
        with self.store.write() as session:
            image = session.get(Image, image_id)
            if image is not None:
                catalogue.fail(image, error)
                message = f"image {image.name} could not be imported: {error.message}"
                record(session, "image.failed", message, data={"image": image.id, **error.as_dict()}, at=self.clock())

    def _image_progress(self, image_id: str) -> Callable[[str, float | None], None]:
        last = -1

        def progress(_what: str, share: float | None) -> None:
            nonlocal last
            percent = int(share * 100) if share is not None else None
            if percent is None or percent < last + 2:
                return
            last = percent
            with self.store.write() as session:
                image = session.get(Image, image_id)
                if image is not None:
                    image.progress = percent

        return progress
