"""`streamrnn state`: show, verify, export, import, migrate and reset the committed state of an application."""
