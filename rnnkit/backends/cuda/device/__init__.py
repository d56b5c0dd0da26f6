"""What a kernel's text is made of: loads, stores and operations on a GPU."""
