"""The programs that are measured: for each, what it needs to be set up and how it is run."""
