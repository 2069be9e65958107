"""How the documents are built:  sphinx-build -W docs site

Docstrings are numpydoc, pages are Markdown (MyST), notebooks run while the site is built and stop it when they fail.
"""

import os
import sys
from pathlib import Path

from omi_keras import __version__

# The commands of notebooks are this environment's.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

project = "omi-keras"
author = "the omi-keras authors"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
]
exclude_patterns = ["jupyter_execute", "reference/generated/commands.md"]
suppress_warnings = ["mystnb.unknown_mime_type"]
html_theme = "pydata_sphinx_theme"
html_title = f"omi-keras {version}"
html_theme_options = {
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    # Fonts, icons and scripts come with the site: no page asks another server for anything.
    "navbar_end": ["theme-switcher", "navbar-icon-links"],
}
html_show_sourcelink = False
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]
nb_execution_mode = "force"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
autosummary_generate = True
autodoc_typehints = "none"


def _write_help() -> None:
    """``--help`` of every command, as it is."""
    import click

    from omi_keras.cli import main

    parts = []
    for name, command in sorted(main.commands.items()):
        context = click.Context(command, info_name=f"omi-keras {name}", max_content_width=100)
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    out = Path(__file__).parent / "reference" / "generated" / "commands.md"
    out.parent.mkdir(exist_ok=True)
    out.write_text("\n".join(parts), encoding="utf-8")


_write_help()
