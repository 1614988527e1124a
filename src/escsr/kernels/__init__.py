"""Faster twins of the network's stages, each equal to its plain one; `networks.stages.choose` takes them."""
