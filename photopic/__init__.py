"""photopic: from a folder of labelled images to a classifier you can trust, explain and ship."""

__version__ = "0.1.0"
