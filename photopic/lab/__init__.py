"""Experiments that use photopic as its users do."""
