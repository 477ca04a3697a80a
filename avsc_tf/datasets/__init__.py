"""Records to batches: every one by (seed, epoch), so that an epoch can be made again."""
