"""The mapping of documents to observations: the paths of key, time and fields.

A format (`streamrnn.formats`) reads documents from a record, and `decoder.RecordDecoder` finds observations in them.
"""
