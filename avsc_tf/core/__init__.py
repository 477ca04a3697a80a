"""Settings, time, record schema, errors, files, consent: what every room uses; it imports no room."""
