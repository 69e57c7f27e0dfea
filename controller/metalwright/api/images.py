# SPDX-License-Identifier: GPL-3.0-or-later
"""``/images``: the operating systems there are; importing more."""

from __future__ import annotations

from flask import Blueprint
from sqlalchemy import select

from metalwright.api.context import caller, context
from metalwright.api.endpoint import Change, Reply, endpoint
from metalwright.api.image_schema import ImageCreate, ImageList, ImageView, checked_source, show
from metalwright.api.listing import page
from metalwright.api.shapes import Listing
from metalwright.errors import Conflict
from metalwright.images import catalogue
from metalwright.lifecycle import contents
from metalwright.lifecycle.ending import LIVE
from metalwright.lifecycle.tasks import enqueue
from metalwright.store.events import record
from metalwright.store.models import Image, Operation

images = Blueprint("images", __name__)


@endpoint(images, "GET", "/images", query=ImageList, answers={200: Listing[ImageView]})
def list_images(*, query: ImageList) -> Reply:
    """List images by name."""
    fields = query.chosen(ImageView.__annotations__)
    statement = select(Image).order_by(Image.name).limit(query.limit + 1)
    if query.status:
        statement = statement.where(Image.status.in_(query.status))
    if (last := query.after(1)) is not None:
        statement = statement.where(Image.name > last[0])
    with context().store.session() as session:
        found = session.scalars(statement).all()
    items = [{name: value for name, value in show(image).items() if name in fields} for image in found[: query.limit]]
    return page(found, query.limit, items, lambda image: (image.name,))


@endpoint(images, "GET", "/images/<path:name>", answers={200: ImageView}, errors=(404,))
def get_image(name: str) -> Reply:
    """Show an image."""
    with context().store.session() as session:
        return show(catalogue.find(session, name))


@endpoint(images, "POST", "/images", body=ImageCreate, query=Change, answers={202: ImageView}, errors=(409,))
def import_image(*, body: ImageCreate, query: Change) -> Reply:
    """Import an image in the background; it can be deployed once its status is ``ready``. One that failed may be tried again.

    One that is replaced stays deployable with its former content until the new one is complete, and if that fails.
    """
    here = context()
    source, now = checked_source(body.source, here.settings), here.clock()
    with here.change(dry_run=query.dry_run) as session:
        image = catalogue.begin(session, body.name, source=source, sha256=body.sha256, replace=body.replace)
        if image.status == "importing":
            image.created_at = now
        image.updated_at = now
        session.flush()
        message = f"import of image {image.name} was requested by {caller()}"
        record(session, "image.importing", message, data={"image": image.id}, at=now)
        enqueue(session, "image.import", {"image": image.id, "source": source, "sha256": body.sha256}, now=now)
        return show(image)


@endpoint(images, "DELETE", "/images/<path:name>", query=Change, answers={204: None}, errors=(404, 409))
def delete_image(name: str, *, query: Change) -> Reply:
    """Delete an image. Machines that were deployed with it stay as they are."""
    here = context()
    with here.change(dry_run=query.dry_run) as session:
        image = catalogue.find(session, name)
        live = session.scalars(select(Operation).where(Operation.state.in_(LIVE)))
        users = [operation for operation in live if image.id in _images_of(operation)]
        if users:
            names = ", ".join(sorted({operation.machine.name for operation in users}))
            message = f"Image {image.name} is being deployed on {names}."
            raise Conflict("image_in_use", message, "Wait for that.", operations=[operation.id for operation in users])
        message = f"image {image.name} was deleted by {caller()}"
        record(session, "image.deleted", message, data={"image": image.id}, at=here.clock())
        content = image.content_sha256
        session.delete(image)
    if content is not None and not query.dry_run:
        contents.forget(here.store, here.settings, content)
    return None


def _images_of(operation: Operation) -> set[str | None]:
    steps = [operation.parameters, *(step.get("parameters", {}) for step in operation.next)]
    return {parameters.get("image_id") for parameters in steps}
