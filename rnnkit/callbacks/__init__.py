"""What happens between batches and epochs of a fit."""
