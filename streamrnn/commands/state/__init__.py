"""`streamrnn state`: the committed state of an application, looked at, checked, moved and reset."""
