"""Training: recipes, schedule, optimisers and the loop."""
