"""Read a picture back as a stranger would: elements, data attributes, lines in millimetres."""

import re
from xml.etree import ElementTree

import numpy as np

SVG = "{http://www.w3.org/2000/svg}"


def read(svg):
    return ElementTree.fromstring(svg)


def mm_per_unit(root):
    """From the size of the sheet and its view box, both ways."""
    width, height = (float(root.get(name).removesuffix("mm")) for name in ("width", "height"))
    _, _, across, down = map(float, root.get("viewBox").split())
    assert width / across == height / down
    return width / across


def points(root, path):
    """(k, 2) mm of a path that is a line."""
    start, _, steps = path.get("d").partition("l")
    first = [float(number) for number in start.removeprefix("M").split()]
    moves = np.array([float(number) for number in re.findall(r"-?\d+", steps)]).reshape(-1, 2)
    return np.cumsum(np.vstack([first, moves]), axis=0) * mm_per_unit(root)


def part(root, name, **data):
    """Groups and lines of one part of the picture, with these data."""
    return [
        element
        for element in root.iter()
        if element.get("data-part") == name and all(element.get(f"data-{k}") == v for k, v in data.items())
    ]


def marks(root, name):
    return [element for element in root.iter() if element.get("data-mark") == name]


def distance(samples, line):
    """(n,) mm from each of (n, 2) points to a line through (k, 2) that runs to the right; what is beside it is near."""
    found = []
    for some in np.array_split(samples, max(len(samples) // 100, 1)):
        near = (line[1:, 0] >= some[0, 0] - 1) & (line[:-1, 0] <= some[-1, 0] + 1)
        a, b = line[:-1][near], line[1:][near]
        length = np.maximum(((b - a) ** 2).sum(axis=1), 1e-12)
        share = np.clip(((some[:, None] - a) * (b - a)).sum(axis=2) / length, 0, 1)
        away = ((a + share[..., None] * (b - a)) - some[:, None]) ** 2
        found.append(np.sqrt(away.sum(axis=2)).min(axis=1, initial=np.inf))
    return np.concatenate(found)


def texts(root):
    return [element.text for element in root.iter(f"{SVG}text")]
