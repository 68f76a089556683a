"""A small page that plays the human's part."""
