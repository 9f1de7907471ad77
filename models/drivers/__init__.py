"""What goes with output (attribution), what changes it (effects), and where two sets of numbers part."""
