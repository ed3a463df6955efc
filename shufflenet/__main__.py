"""``python -m shufflenet`` is ``shufflecost``."""

from shufflenet.cli import main

if __name__ == "__main__":
    main()
