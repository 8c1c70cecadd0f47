"""A feed as columns, in compiled loops: scanning of JSON records, admission to waves, writing of JSON, output hash."""
