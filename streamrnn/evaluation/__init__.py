"""Evaluation of published forecast records: baselines, sums of errors, figures and the report."""
