"""Text for people: tables of columns, a line that is rewritten."""
