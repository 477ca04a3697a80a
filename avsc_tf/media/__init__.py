"""Files of pictures and sound in, arrays on one clock out; and back: arrays in, finished files out."""
