"""The version, for the build and the package alike."""

__all__ = ["__version__"]

__version__ = "0.1.0"
