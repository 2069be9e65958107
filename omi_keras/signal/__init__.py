"""ECG file → Record → median beat → model input.

NumPy and SciPy only: the same code trains and runs on devices.
"""
