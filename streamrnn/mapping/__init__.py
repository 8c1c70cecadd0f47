"""From documents to observations: where a document has its key, its time and its fields.

A format (`streamrnn.formats`) reads documents from a record, and `decoder.RecordDecoder` finds observations in them.
"""
