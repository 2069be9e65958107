"""omi-keras: find occlusion myocardial infarction (OMI) in 12-lead ECGs.

Importing this package loads nothing heavy; each room is imported where it is used.
"""

__version__ = "0.1.0"
