"""The journal: what is written before anything is done."""
