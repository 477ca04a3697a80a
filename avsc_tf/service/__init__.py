"""The service: conversions over HTTP, each upload decoded in a process of its own, each job kept until it is done."""
