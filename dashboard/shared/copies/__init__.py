"""What pages say of copies among test images."""
