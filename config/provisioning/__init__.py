"""A company in one YAML file: `manage.py provision FILE`. What may stand in the file: `docs/provision.md`."""
