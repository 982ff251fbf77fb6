"""`python -m kafkaprep` is the `kafkaprep` command."""

from kafkaprep.cli.main import main

if __name__ == "__main__":
    main()
