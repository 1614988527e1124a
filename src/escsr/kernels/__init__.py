"""Faster twins of stages, each equal to its plain one; `networks.stages.choose` takes them."""
