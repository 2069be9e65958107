"""What a network looks at: saliency maps, lead contributions, figures, and tests of the maps themselves."""
