"""Listening and viewing tests by the protocol of the paper's section 4.5: build, serve, analyse."""
