"""Pages of compliance."""

from django.urls import path

from compliance.views import proof

urlpatterns = [
    path("proof", proof.proof, name="proof"),
    path("proof/verify_audit.py", proof.verifier, name="proof-verifier"),
]
