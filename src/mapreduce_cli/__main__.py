"""`python -m mapreduce_cli`: the same as `mr`, where the script is not on the path."""

from mapreduce_cli.main import main

if __name__ == "__main__":
    main()
