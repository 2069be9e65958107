"""Simulated ECGs: a heart vector in 3-D, occlusions, their mimics, rhythm, noise, and whole cohorts."""
