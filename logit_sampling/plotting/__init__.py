"""What the pictures, tables and texts of this library share."""
