"""Pages of trading: home, the workspace, orders, portfolio, ledger, status."""
