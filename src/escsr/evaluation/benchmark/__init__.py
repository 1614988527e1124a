"""What models cost: as the paper measures it, and as `escsr upscale` runs them."""
