"""Derivatives of layers and cells beyond gradients, and checks of gradients."""
