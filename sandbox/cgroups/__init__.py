"""Control groups: the tables of controllers, and the tree that is made of them."""
