"""What every server of the package shares: where it listens, and the headers on all it sends."""
