"""REST routes of market data, below /api/v1/."""

from django.urls import path

from marketdata.api import views

urlpatterns = [
    path("instruments", views.InstrumentsView.as_view(), name="api-instruments"),
    path("instruments/<str:symbol>", views.InstrumentView.as_view(), name="api-instrument"),
    path("instruments/<str:symbol>/book", views.BookView.as_view(), name="api-book"),
    path("instruments/<str:symbol>/trades", views.TradesView.as_view(), name="api-trades"),
    path("instruments/<str:symbol>/candles", views.CandlesView.as_view(), name="api-candles"),
    path("quotes", views.QuotesView.as_view(), name="api-quotes"),
    path("quotes/<str:symbol>", views.QuoteView.as_view(), name="api-quote"),
]
