"""From a clip of A to a video of B: features through the networks, waveform, frames, mp4."""
