"""`streamrnn mcp`: forecasts for assistants, by the Model Context Protocol over the HTTP API of the page."""
