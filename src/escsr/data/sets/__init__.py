"""What `escsr data` does: make sets of training images, check them, and tell how their LR was made."""
