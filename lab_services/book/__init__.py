"""The book: pages that take their numbers and figures from kept runs, and how it is built."""
