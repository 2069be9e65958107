"""The device side: run a bundle on ECGs with NumPy, SciPy and LiteRT alone.

Detector, Detection and StreamResult are the public face; :mod:`edge.export` (which needs TensorFlow) makes bundles.
"""

from edge.detector import Detection, Detector, StreamResult

__all__ = ["Detection", "Detector", "StreamResult"]
