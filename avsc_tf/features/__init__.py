"""Frames and sound of one clip in; mel spectrogram, keypoints, VGG feature and F0 out, and back."""
