"""Pages about markets: the live table, price history as a table, data sources and licences."""
