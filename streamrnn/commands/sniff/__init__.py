"""`streamrnn sniff`: read a sample of records and propose the configuration that reads them.

    sample -> detection (format) -> table (documents as columns) -> search (key, time, fields) -> proposal -> YAML

Everything but `sample` and `command` is a function of records. A proposal is run on the sample by the daemon's own
decoder, so that what it reports is what `streamrnn run` would read.
"""
