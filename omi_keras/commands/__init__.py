"""The commands, by what they work on. Heavy imports stay inside them: TensorFlow takes seconds, --help must not."""
