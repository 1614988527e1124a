"""Images for training and evaluation: resizers, folders, samplers of training patches."""
