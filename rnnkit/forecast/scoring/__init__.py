"""Scores of forecasts: errors, back-tests, cross-validation."""
