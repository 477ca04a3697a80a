"""Folders of clips of both speakers in, TFRecords of aligned pairs and a report of the corpus out."""
