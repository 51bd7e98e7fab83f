"""``python -m engage.cli``: the same as ``engage``, for starting it without knowing where the script lies."""

from engage.cli import main

main()
