"""Compiled loops over the records of a feed: scanning of JSON, admission to waves, writing of JSON, output hash."""
