"""Figures for people: charts and pictures as PNG files."""
