"""Who watches the worker: metrics, health and logs. Nothing here changes what is forecast."""
