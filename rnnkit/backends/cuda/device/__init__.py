"""The words of a kernel's text: loads, stores and operations on a GPU."""
