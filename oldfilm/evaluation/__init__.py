"""Judges predictors as the papers do: on ground truth that is made smaller, slower or gray."""
