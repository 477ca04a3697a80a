"""Arrays to features and back: mel spectrum, keypoints and crop, appearance, statistics."""
