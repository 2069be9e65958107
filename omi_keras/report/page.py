"""Fill the page templates: one HTML file that needs nothing else, all text escaped, the same bytes each time."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from omi_keras.report.policy import script_sha256

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def render(template: str, **content: Any) -> str:
    """Return the page.

    Parameters
    ----------
    template
        Name of a file in ``templates``.
    content
        What it shows. Text is escaped; a name that the template uses and that is not here is an error.
    """
    return _environment().get_template(template).render(content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("omi_keras.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"sha256": script_sha256, "svg": _svg, "drawn": lambda picture: Markup(picture.svg())}
    return environment


def _svg(figure: Figure, name: str) -> Markup:
    from omi_keras.drawing.svg import svg

    return Markup(svg(figure, name))
