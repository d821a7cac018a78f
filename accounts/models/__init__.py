"""Models of accounts."""

from accounts.models.api_keys import ApiKey, TokenFamily
from accounts.models.factors import Passkey, RecoveryCode, TotpDevice
from accounts.models.fix_keys import FixKey
from accounts.models.funding import Beneficiary, Deposit, Withdrawal
from accounts.models.ledger import Balance, LedgerEntry
from accounts.models.messages import MobileNumber, PushDevice
from accounts.models.personal import ChangeRequest, DataExport, PersonalData
from accounts.models.rules import AccountLimits, DisclosureAcceptance
from accounts.models.security import KnownDevice, LoginEvent, MailToken, UserSession
from accounts.models.social import SocialLink
from accounts.models.trading_accounts import Invitation, TradingAccount, TradingAccountMember
from accounts.models.users import User

__all__ = [
    "AccountLimits",
    "ApiKey",
    "Balance",
    "Beneficiary",
    "ChangeRequest",
    "DataExport",
    "Deposit",
    "DisclosureAcceptance",
    "FixKey",
    "Invitation",
    "KnownDevice",
    "LedgerEntry",
    "LoginEvent",
    "MailToken",
    "MobileNumber",
    "Passkey",
    "PersonalData",
    "PushDevice",
    "RecoveryCode",
    "SocialLink",
    "TokenFamily",
    "TotpDevice",
    "TradingAccount",
    "TradingAccountMember",
    "User",
    "UserSession",
    "Withdrawal",
]
