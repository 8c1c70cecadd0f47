"""`streamrnn deadletters`: count the dead letters, show examples, and put their records back into the input."""
