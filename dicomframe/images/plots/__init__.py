"""Figures of a cohort: drawn from a table, or from numbers gathered beforehand."""
