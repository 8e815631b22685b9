"""Who watches the rounds, and what they measure."""
