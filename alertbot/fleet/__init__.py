"""Several workers that poll the tenants of one PostgreSQL database, with Procrastinate as the engine."""
