# SPDX-License-Identifier: GPL-3.0-or-later
"""Is this user-data that cloud-init will understand? Asked before a machine is touched; the text itself is never changed.

What cloud-init takes, and by which first line it knows it: cloud-init 22.4, ``cloudinit/handlers/__init__.py``
(``INCLUSION_TYPES_MAP``) and ``cloudinit/user_data.py``. What it does not know it ignores with a warning nobody reads: the
machine would come up without a single key.
"""

from __future__ import annotations

import email
import re
from typing import Any

import jinja2
import yaml

from metalwright.errors import Invalid

DEPTH = 100
"""Collections within each other; nobody's cloud-config has ten."""
PAIRS = 10_000
"""Keys of a mapping, with all copies of those that ``<<`` merges into it."""

_FIRST_LINES = "Known first lines: #cloud-config, #!, #include, ## template: jinja, #cloud-boothook, or a MIME multipart header."


def check(text: str) -> None:
    """Raise ``Invalid`` when cloud-init would not do what ``text`` asks for.

    Codes: ``user_data_not_yaml`` (details: ``line`` and ``column``, from 1), ``user_data_not_cloud_config`` (no first line that
    cloud-init knows, or no mapping below it), ``user_data_not_script``, ``user_data_not_include``, ``user_data_not_template``,
    ``user_data_not_mime``. No message repeats what the text says.
    """
    first, rest = _split(text)
    kind = first.lower()
    if kind.startswith("#cloud-config-archive"):
        _archive(text)
    elif re.match(r"#cloud-config(\s|$)", kind):
        _cloud_config(text)
    elif kind.startswith("#!"):
        _script(first)
    elif kind.startswith("#include"):
        _include(rest)
    elif kind.startswith("## template: jinja"):
        _template(rest)
    elif kind.startswith(("content-type:", "mime-version:")):
        _multipart(text)
    elif not kind.startswith(("#cloud-boothook", "#part-handler", "#cloud-config-jsonp")):
        _unknown(text)


def names(text: str) -> set[str]:
    """The keys at the top of cloud-config; none of any other kind, nor of a template that is YAML only when it is rendered."""
    kind = _split(text)[0].lower()
    if not re.match(r"#cloud-config(\s|$)|## template: jinja", kind):
        return set()
    try:
        value = _load(text)
    except Invalid:
        return set()
    return {key for key in value if isinstance(key, str)} if isinstance(value, dict) else set()


def _split(text: str) -> tuple[str, str]:
    """The first line and the rest; as cloud-init does, blank space before the first line is passed over."""
    first, _, rest = text.lstrip().partition("\n")
    return first, rest


class _Loader(yaml.CSafeLoader):
    """libyaml's safe loader, which does not let a few lines of merge keys become a billion.

    From 6.0.4 on PyYAML merges each key once; that of Debian 12, with which cloud-init reads this, writes down every copy.
    """

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._counted: dict[int, int] = {}

    def flatten_mapping(self, node: Any) -> None:
        if self._pairs(node) > PAIRS:
            raise ValueError("too large a mapping")
        super().flatten_mapping(node)

    def _pairs(self, node: Any) -> int:
        """How many keys a mapping has once others were merged into it, and theirs into those."""
        if id(node) not in self._counted:
            count = 0
            for key, value in node.value:
                merged = key.tag == "tag:yaml.org,2002:merge"
                sources = value.value if isinstance(value, yaml.SequenceNode) else [value]
                count += sum(self._pairs(source) for source in sources if isinstance(source, yaml.MappingNode)) if merged else 1
            self._counted[id(node)] = count
        return self._counted[id(node)]


def _load(text: str) -> Any:
    """The text as YAML. Raises ``Invalid`` (``user_data_not_yaml``) with the place."""
    try:
        _check_depth(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = re.sub(r"'[^']*'", "...", error.problem or "it can not be parsed")
        raise Invalid(
            "user_data_not_yaml",
            f"user_data is not YAML: line {line}, column {column}: {problem}.",
            "Mend that line; 'cloud-init schema -c FILE' checks a file on any machine with cloud-init.",
            line=line,
            column=column,
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        message = f"user_data is not YAML: line {line}, column {column}: a character that YAML does not allow."
        raise Invalid("user_data_not_yaml", message, line=line, column=column) from None
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        # an impossible date, a list as a key, ten thousand brackets; and !!timestamp x, !!bool x, !!int of nothing trip PyYAML
        raise Invalid("user_data_not_yaml", "user_data is not YAML that can be read: a value in it is impossible.") from None


def _check_depth(text: str) -> None:
    """libyaml's composer recurses in C without a limit: deep nesting would end the process, not the request."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH:
                raise ValueError("nested too deeply")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _cloud_config(text: str) -> None:
    value = _load(text)
    if value is not None and not isinstance(value, dict):
        raise Invalid(
            "user_data_not_cloud_config",
            f"user_data is YAML but not cloud-config: below #cloud-config stands {_kind(value)}, not a mapping of modules.",
            "cloud-config is 'key: value' at the top, for example 'packages: [htop]'.",
        )


def _archive(text: str) -> None:
    if not isinstance(_load(text), list):
        message = "user_data is not a cloud-config archive: below #cloud-config-archive must stand a list."
        raise Invalid("user_data_not_cloud_config", message)


def _script(first: str) -> None:
    if first.endswith("\r"):
        message = "user_data is a script with DOS line ends: the kernel would look for an interpreter whose name ends in one."
        raise Invalid("user_data_not_script", message, "Save it with Unix line ends (dos2unix).")
    if not re.match(r"#!\s*/", first):
        message = "user_data begins with '#!' but names no interpreter by its full path."
        raise Invalid("user_data_not_script", message, "For example '#!/bin/sh'.")


def _include(rest: str) -> None:
    for number, line in enumerate(rest.splitlines(), start=2):
        address = line.strip()
        if address and not re.match(r"#|(https?|ftp|file)://.", address):
            message = f"user_data is a list of URLs (#include), but line {number} is none."
            raise Invalid("user_data_not_include", message, line=number)


def _template(rest: str) -> None:
    try:
        jinja2.Environment(autoescape=False).parse(rest)  # noqa: S701 - parsed for its syntax, never rendered
    except jinja2.TemplateSyntaxError as error:
        message = f"user_data is no Jinja template: line {error.lineno + 1}."
        raise Invalid("user_data_not_template", message, "Look at that line.", line=error.lineno + 1) from None
    except (RecursionError, ValueError):  # a thousand brackets, a number of thousands of digits
        said = "user_data is a Jinja template that can not be read: it is nested too deeply, or a number in it is too long."
        raise Invalid("user_data_not_template", said) from None
    below = rest.lstrip().lower()
    if not below.startswith(("#cloud-config", "#!", "#cloud-boothook", "{%", "{#")):
        message = "user_data is a Jinja template, but nothing says what of: the line below must be #cloud-config or #!."
        raise Invalid("user_data_not_template", message, _FIRST_LINES)


def _multipart(text: str) -> None:
    try:  # with the parser's old rules, as cloud-init does: the new ones read every header, and not every one comes to an end
        message = email.message_from_bytes(text.lstrip().encode("utf-8", "replace"))
        parts = list(message.walk())
    except RecursionError:
        raise Invalid("user_data_not_mime", "user_data is a MIME message that is nested too deeply.") from None
    if not message.is_multipart():
        said = "user_data begins like a MIME message but has no parts."
        raise Invalid("user_data_not_mime", said, "'cloud-init devel make-mime' writes one.")
    for part in parts:
        if part.get_content_type() == "text/cloud-config":
            _cloud_config(_text_of(part))


def _text_of(part: Any) -> str:
    try:
        return str(part.get_payload(decode=True).decode(part.get_content_charset("utf-8"), "replace"))
    except (LookupError, ValueError):
        raise Invalid("user_data_not_mime", "user_data is a MIME message with a part in an unknown encoding.") from None


def _unknown(text: str) -> None:
    value = _load(text)
    if isinstance(value, dict):
        raise Invalid(
            "user_data_not_cloud_config",
            "user_data is YAML, but cloud-init takes it for cloud-config only when it begins with the line '#cloud-config'.",
            "Put '#cloud-config' as the first line.",
        )
    message = f"user_data is nothing that cloud-init knows: it begins with no known first line, and is {_kind(value)}."
    raise Invalid("user_data_not_cloud_config", message, _FIRST_LINES)


def _kind(value: Any) -> str:
    return {list: "a list", str: "plain text", type(None): "empty"}.get(type(value), "a single value")
