"""How good forecasts are: errors, back-tests, cross-validation."""
