"""Integrations: our models in other people's programs, and where they look for models."""
