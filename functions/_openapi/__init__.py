"""The description of the service as OpenAPI, made of tables that stand beside the routes by name."""
