"""The schema: tables, rows, migrations and database roles."""
