"""What can be measured of speech and faces from arrays alone: evaluation reports it, training shows it."""
