"""The pruning methods, one file each: this folder is the list of them."""
