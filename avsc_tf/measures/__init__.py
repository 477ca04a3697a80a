"""Arrays of speech, faces or both in, one figure out."""
