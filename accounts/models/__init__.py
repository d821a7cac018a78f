"""Models of accounts."""

from accounts.models.api_keys import ApiKey, TokenFamily
from accounts.models.funding import Deposit, Withdrawal
from accounts.models.ledger import Balance, LedgerEntry
from accounts.models.trading_accounts import TradingAccount, TradingAccountMember
from accounts.models.users import User

__all__ = [
    "ApiKey",
    "Balance",
    "Deposit",
    "LedgerEntry",
    "TokenFamily",
    "TradingAccount",
    "TradingAccountMember",
    "User",
    "Withdrawal",
]
