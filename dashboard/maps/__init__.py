"""What several pages draw of maps: their images, and the films of a race."""
