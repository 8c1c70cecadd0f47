"""The live page in the browser, built with NiceGUI."""
