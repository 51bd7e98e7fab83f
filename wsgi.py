"""WSGI entry: ``gunicorn -c python:engage.gunicorn_config wsgi:app``."""

from engage.app import create_app

app = create_app()
