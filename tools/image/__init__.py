"""Programs that run while the images are built; they need nothing but the standard library."""
