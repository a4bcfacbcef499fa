"""What inference leaves behind: draws, weights and parameters, and everything a notebook does with them."""
