"""Settings in, a finished demo out: corpus of two synthetic speakers, records, run, videos, report."""
