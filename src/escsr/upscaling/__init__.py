"""From an image to a larger one: the upscaler, and the policies around a network."""
