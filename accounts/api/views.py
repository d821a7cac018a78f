"""REST views of users and their accounts: register, tokens, profile, accounts, socket tickets, server time, the table
of refusals.

Each parses, calls one service or selector and shapes the answer. Holds no rule of the business.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError
from django.http import HttpRequest, JsonResponse
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api import schemas, tokens
from accounts.models import ChangeRequest, DisclosureAcceptance, TokenFamily, User
from accounts.selectors.access import AccountRef, account_for_user, accounts_of
from accounts.selectors.credentials import credential_of, families_of
from accounts.services.personal import profile_change
from accounts.services.registration import user_register
from accounts.services.rules import disclosures_accept
from accounts.services.token_families import family_end_by_token, family_refresh, family_revoke
from accounts.trading_policy import trading_policy
from brokerage.kernel.clock import SYSTEM_CLOCK, ns_from_datetime, rfc3339
from brokerage.kernel.errors import RejectedError
from brokerage.kernel.rejects import CORE_CODES, TABLE, RejectCode
from brokerage.platform.api import ApiView, listing, query_of
from brokerage.platform.api_schema import documented, list_of
from brokerage.platform.auth import TICKET_S, ticket_issue
from brokerage.platform.jwt_keys import jwt_keys
from brokerage.platform.throttling import client_address, identity_hash, throttle_demand


class PublicView(ApiView):
    """Needs no identity, and looks at none."""

    authentication_classes = ()
    permission_classes = ()


class RegisterView(PublicView):
    """Open a user and a trading account."""

    throttle_scopes = {"POST": "register"}

    @documented(
        answer=schemas.Accepted, body=schemas.RegisterBody, status=202, public=True, tag="auth", operation="auth_register",
        summary="Register",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Take a registration in; the answer is the same whether or not the address is known."""
        data = self.body(schemas.RegisterBody)
        try:
            user_register(
                email=data["email"],
                password=data["password"],
                display_name=data["display_name"],
                country=data["country"],
            )
        except ValidationError as error:
            text = " ".join(str(message) for message in error.messages)
            raise RejectedError(RejectCode.WEAK_PASSWORD, text, field="password") from error
        return Response(
            {
                "detail": "Registered. If the address was not known before, you can sign in now; a message is on its way."
            },
            status=202,
        )


class TokenView(PublicView):
    """Sign in for tokens."""

    throttle_scopes = {"POST": "login_address"}

    @documented(
        answer=schemas.TokenPair, body=schemas.TokenBody, public=True, problems=(401,), tag="auth", operation="auth_token",
        summary="Sign in for tokens",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Access and refresh token for e-mail and password."""
        data = self.body(schemas.TokenBody)
        throttle_demand("login", f"{identity_hash(data['email'])}:{client_address(request)}")
        return Response(
            tokens.tokens_issue(
                request._request,
                email=data["email"],
                password=data["password"],
                name=data.get("name", ""),
                code=data.get("code", ""),
            )
        )


class TokenRefreshView(PublicView):
    """Next pair of tokens."""

    throttle_scopes = {"POST": "refresh"}

    @documented(
        answer=schemas.TokenPair, body=schemas.RefreshBody, public=True, problems=(401,), tag="auth", operation="auth_refresh",
        summary="Refresh tokens",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """New tokens for a refresh token, which is used up."""
        refresh = self.body(schemas.RefreshBody)["refresh"]
        return Response(family_refresh(refresh=refresh, address=client_address(request)))


class LogoutView(PublicView):
    """End a sign-in."""

    throttle_scopes = {"POST": "refresh"}

    @documented(
        body=schemas.RefreshBody, status=204, public=True, tag="auth", operation="auth_logout", summary="Sign out"
    )
    def post(self, request: Request) -> Response:
        """End the sign-in of a refresh token; its access tokens end within seconds."""
        family_end_by_token(refresh=self.body(schemas.RefreshBody)["refresh"])
        return Response(status=204)


def sign_in_json(family: TokenFamily, current: str) -> dict[str, Any]:
    """A sign-in of a program as the API shows it."""
    return {
        "id": str(family.pk),
        "name": family.name,
        "agent": family.agent,
        "address": family.address,
        "last_address": family.last_address,
        "created_at": rfc3339(ns_from_datetime(family.created_at)),
        "last_used_at": rfc3339(ns_from_datetime(family.last_used_at)),
        "expires_at": rfc3339(ns_from_datetime(family.expires_at)),
        "current": str(family.pk) == current,
    }


class SignInsView(ApiView):
    """Sign-ins of programs."""

    @documented(
        answer=list_of("SignIn", schemas.SignIn), tag="auth", operation="sign_ins_list", summary="Sign-ins of programs"
    )
    def get(self, request: Request) -> Response:
        """List the living ones; there are never more than fit one page."""
        query_of(request, schemas.NoQuery)
        current = getattr(request.auth, "family", "")
        return Response(listing([sign_in_json(family, current) for family in families_of(request.user)]))


class SignInView(ApiView):
    """One sign-in."""

    @documented(status=204, problems=(404,), tag="auth", operation="sign_ins_end", summary="End a sign-in")
    def delete(self, request: Request, family_id: UUID) -> Response:
        """End it and every token of it."""
        family_revoke(user=request.user, family_id=family_id)
        return Response(status=204)


def jwks(request: HttpRequest) -> JsonResponse:
    """The public keys that tokens are signed with."""
    return JsonResponse(jwt_keys().jwks(), headers={"Cache-Control": "public, max-age=60"})


def _profile(user: Any) -> dict[str, Any]:
    return {
        "user_id": str(user.pk),
        "email": user.email,
        "display_name": user.display_name,
        "country": user.country,
        "time_zone": user.time_zone,
        "pending_changes": [
            name for row in ChangeRequest.objects.filter(user=user, status="pending") for name in row.fields
        ],
        "email_confirmed": user.email_confirmed_at is not None,
        "date_joined": rfc3339(ns_from_datetime(user.date_joined)),
    }


class ProfileView(ApiView):
    """The signed-in user."""

    @documented(answer=schemas.Profile, tag="accounts", operation="profile_get", summary="Own profile")
    def get(self, request: Request) -> Response:
        """Show it."""
        query_of(request, schemas.NoQuery)
        return Response(_profile(User.objects.get(pk=request.user.pk)))

    @documented(
        answer=schemas.Profile,
        body=schemas.ProfileBody,
        tag="accounts",
        operation="profile_change",
        summary="Change own profile",
    )
    def patch(self, request: Request) -> Response:
        """Change name or time zone at once; a country that was given before changes when staff have approved."""
        data = self.body(schemas.ProfileBody)
        zone = data.get("time_zone", "")
        if zone and zone not in available_timezones():
            raise RejectedError(
                RejectCode.MALFORMED,
                "time_zone must be an IANA name.",
                needed="such as Europe/Paris",
                field="time_zone",
            )
        user = User.objects.get(pk=request.user.pk)
        profile_change(user=user, **data)
        return Response(_profile(User.objects.get(pk=user.pk)))


def account_json(ref: AccountRef) -> dict[str, Any]:
    """An account as the API shows it."""
    return {
        "number": ref.number,
        "kind": ref.kind,
        "name": ref.name,
        "base_currency": ref.base_currency,
        "status": ref.status,
        "role": ref.role,
        "created_at": rfc3339(ns_from_datetime(ref.created_at)),
    }


class AccountsView(ApiView):
    """Accounts the user may see."""

    @documented(
        answer=list_of("Account", schemas.Account), tag="accounts", operation="accounts_list", summary="Own accounts"
    )
    def get(self, request: Request) -> Response:
        """List them."""
        query_of(request, schemas.NoQuery)
        return Response(listing([account_json(ref) for ref in accounts_of(request.user.pk)]))


class AccountView(ApiView):
    """One account."""

    @documented(
        answer=schemas.Account, problems=(404,), tag="accounts", operation="accounts_get", summary="One account"
    )
    def get(self, request: Request, number: str) -> Response:
        """Show it."""
        query_of(request, schemas.NoQuery)
        return Response(account_json(account_for_user(request.user.pk, number)))


_DISCLOSURES = list_of("Disclosure", schemas.DisclosureText)


def _disclosures(user: Any) -> Response:
    accepted = {
        f"{code}@{version}"
        for code, version in DisclosureAcceptance.objects.filter(user_id=user.pk).values_list("code", "version")
    }
    return Response(
        listing(
            [
                {"code": row.code, "version": row.version, "title": row.title, "text": row.text, "accepted": row.key in accepted}
                for row in trading_policy().disclosures.values()
            ]
        )
    )  # fmt: skip


class DisclosuresView(ApiView):
    """Risk warnings."""

    @documented(
        answer=_DISCLOSURES, tag="accounts", operation="disclosures_list",
        summary="Risk warnings and which you have accepted",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """All texts in their present version; GET /limits says which a product needs."""
        query_of(request, schemas.NoQuery)
        return _disclosures(request.user)

    @documented(
        answer=_DISCLOSURES, body=schemas.DisclosuresBody, tag="accounts",
        operation="disclosures_accept", summary="Accept risk warnings",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Note that they were read and are accepted; again changes nothing."""
        disclosures_accept(user=request.user, codes=self.body(schemas.DisclosuresBody)["codes"])
        return _disclosures(request.user)


class WsTicketView(ApiView):
    """Tickets for the private stream."""

    @documented(
        answer=schemas.WsTicket, body=schemas.TicketBody, status=201, problems=(404,), tag="auth", operation="ws_ticket",
        summary="Ticket for a WebSocket",
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """A signed ticket, good once for thirty seconds."""
        ref = account_for_user(request.user.pk, self.body(schemas.TicketBody).get("account"))
        # The socket ends with what the ticket was asked with: a key, a program's sign-in or a browser's session.
        ticket = ticket_issue(request.user, ref.number, credential_of(request))
        return Response({"ticket": ticket, "expires_in": TICKET_S, "account": ref.number}, status=201)


class TimeView(PublicView):
    """The server's clock."""

    @documented(answer=schemas.ServerTime, public=True, tag="system", operation="time_get", summary="Server time")
    def get(self, request: Request) -> Response:
        """Show it."""
        query_of(request, schemas.NoQuery)
        now_ns = SYSTEM_CLOCK.now_ns()
        return Response({"time": rfc3339(now_ns), "time_ns": str(now_ns)})


class ErrorsView(PublicView):
    """The table of refusals."""

    @documented(
        answer=list_of("Error", schemas.ErrorRow),
        public=True,
        tag="system",
        operation="errors_list",
        summary="All refusals",
    )
    def get(self, request: Request) -> Response:
        """Every number this API can answer with."""
        query_of(request, schemas.NoQuery)
        rows = [
            {
                "code": code.value,
                "slug": row.slug,
                "title": row.title,
                "status": row.http,
                "detail": row.text,
                "rule": row.rule,
                "next_step": row.next_step,
                "source": "core" if code in CORE_CODES else "edge",
            }
            for code, row in sorted(TABLE.items())
        ]
        return Response(listing(rows))
