"""Every error a user can cause. The tools print the message alone and leave with exit code 2.

A message names the file, the place, the rule that was broken and the remedy.
"""

from __future__ import annotations


class AvscError(Exception):
    """Base of all errors that a user can cause and mend."""


class ConfigError(AvscError):
    """A setting is unknown, of the wrong type, or contradicts another one."""


class OutputError(AvscError):
    """A file or folder cannot be written, or holds what is not this program's to write over."""


class UnexpectedError(AvscError):
    """An exception that nobody foresaw, at one clip: a fault of this program, and no reason to end a batch."""


class TooLargeError(AvscError):
    """A clip needs more memory than there is."""


class MediaError(AvscError):
    """A clip cannot be read: missing, truncated, no sound, no picture."""


class FaceError(AvscError):
    """No face, or one that is lost for too long."""


class AlignmentError(AvscError):
    """Two clips are not a pair: other sentences, or no common path."""


class RecordError(AvscError):
    """A records folder is incomplete, damaged, or was made with other settings."""


class TrainingError(AvscError):
    """A training diverged, or cannot be made on these devices."""


class DevicesLostError(TrainingError):
    """The other processes of a training are gone: one of them ended, or the network between them did."""


class BundleError(AvscError):
    """A run folder lacks a part that conversion needs."""


class ConsentError(AvscError):
    """Nobody, or nobody any longer, allows a person's voice and face to be made."""


class ListeningError(AvscError):
    """A listening test cannot be built, served or analysed from what was named."""


class ServiceError(AvscError):
    """The service cannot be started as asked, or does not take a request."""


class StageError(AvscError):
    """A stage of a workflow failed; its own message was printed before."""


class ExportError(AvscError):
    """A run cannot be written as served models where they were asked for."""


class ProvenanceError(AvscError):
    """A video cannot be signed: its key or certificate is missing, damaged, expired, or not to be written."""
