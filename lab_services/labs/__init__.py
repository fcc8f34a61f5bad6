"""What only a notebook imports: what it sends, reads off and draws. Never part of an image."""
