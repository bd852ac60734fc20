"""State diagrams that cannot lie: the core is driven, and what it does is drawn beside what its tables allow."""
