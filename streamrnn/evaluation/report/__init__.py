"""What a backtest or a demo leaves for people to look at: a page that explains itself, and a picture."""
