"""The command `jupyter-book`, after what this package does at its import for a quick start."""

from jupyter_book.cli.main import main  # type: ignore[import-untyped]

if __name__ == "__main__":
    main()
