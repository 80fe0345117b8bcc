"""Jupyter widgets: the viewer, the cohort browser."""
