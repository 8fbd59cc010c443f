"""Small networks of convolutions over arrays, trained from scratch."""
