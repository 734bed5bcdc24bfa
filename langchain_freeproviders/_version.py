"""The version: one distribution, one number."""

from freeproviders._version import __version__

__all__ = ["__version__"]
