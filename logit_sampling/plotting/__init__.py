"""What the pictures of this library share."""
