"""Reading files that anyone may have written, and replacing files while others read them."""
