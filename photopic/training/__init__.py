"""Recipes and the ways of training: scratch, frozen, fine-tune."""
