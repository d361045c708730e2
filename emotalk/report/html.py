"""Rendering of self-contained HTML pages from templates."""

import logging
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from emotalk.files import atomic_path

_LOG = logging.getLogger(__name__)
_TEMPLATES = Path(__file__).parent / "templates"


def write_page(template: str, page: str | Path, content: dict[str, Any]) -> None:
    """Render a template and write the page."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with atomic_path(page) as unfinished:
        unfinished.write_text(environment.get_template(template).render(content), encoding="utf-8")
    _LOG.info("Open %s in a browser.", Path(page).resolve())
