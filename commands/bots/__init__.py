"""Commands about bots: their lives, and what they tell."""
