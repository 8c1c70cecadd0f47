"""The data of the live page: how workers send it, and how the page's process stores and scores it."""
