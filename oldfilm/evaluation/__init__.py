"""Measure restored films against ground truth."""
