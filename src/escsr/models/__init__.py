"""Models: bundled weights, published files and their download, and which one suits a scale."""
