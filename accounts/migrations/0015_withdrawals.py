import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Withdrawals by clients. The table was never written to before, so columns without a default can be added."""

    dependencies = [
        ("accounts", "0014_account_at_first_sign_in"),
    ]

    operations = [
        migrations.CreateModel(
            name="Beneficiary",
            fields=[
                ("id", models.CharField(help_text="ULID", max_length=26, primary_key=True, serialize=False)),
                ("sealed", models.BinaryField(help_text="Holder and IBAN")),
                ("created_at", models.DateTimeField()),
                ("usable_at", models.DateTimeField(help_text="End of the cool-off")),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("account", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="beneficiaries", to="accounts.tradingaccount")),
                ("added_by", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={"verbose_name_plural": "beneficiaries", "ordering": ("-id",)},
        ),
        migrations.AddField("withdrawal", "beneficiary", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="withdrawals", to="accounts.beneficiary")),
        migrations.AddField("withdrawal", "requested_by", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
        migrations.AddField("withdrawal", "idempotency_key", models.CharField(blank=True, default="", max_length=36)),
        migrations.AddField("withdrawal", "refused_code", models.SmallIntegerField(default=0, help_text="Number of docs/rejects.md where the engine refused")),
        migrations.AddField("withdrawal", "refused_available", models.BigIntegerField(blank=True, help_text="What there was then, minor units", null=True)),
        migrations.AddField("withdrawal", "reason", models.CharField(blank=True, default="", help_text="Of staff who refused; the client reads it", max_length=1000)),
        migrations.AddField("withdrawal", "approved_by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL)),
        migrations.AddField("withdrawal", "reference", models.CharField(blank=True, help_text="The bank's: one reference, one payout", max_length=64, null=True, unique=True)),
        migrations.AddField("withdrawal", "created_ns", models.BigIntegerField(help_text="What lists are paged by")),
        migrations.AddField("withdrawal", "approved_at", models.DateTimeField(blank=True, null=True)),
        migrations.AddField("withdrawal", "decided_at", models.DateTimeField(blank=True, help_text="Paid, cancelled or refused", null=True)),
        migrations.AddField("withdrawal", "closed_at", models.DateTimeField(blank=True, help_text="The engine holds nothing for it any more", null=True)),
        migrations.AlterField("withdrawal", "created_at", models.DateTimeField()),
        migrations.AlterField("withdrawal", "status", models.CharField(choices=[("requested", "Requested"), ("held", "Waiting for approval"), ("approved", "Approved"), ("paid", "Paid"), ("cancelled", "Cancelled"), ("refused", "Refused")], default="requested", max_length=10)),
        migrations.AddIndex("withdrawal", models.Index(fields=["account", "-created_ns"], name="withdrawal_by_account")),
        migrations.AddConstraint("withdrawal", models.UniqueConstraint(condition=~Q(idempotency_key=""), fields=("account", "idempotency_key"), name="withdrawal_one_per_key")),
        migrations.AddConstraint("withdrawal", models.CheckConstraint(condition=Q(status="paid", reference__isnull=False, hold_id__isnull=False) | (~Q(status="paid") & Q(reference=None)), name="withdrawal_paid_has_its_reference")),
        migrations.AddConstraint("withdrawal", models.CheckConstraint(condition=Q(closed_at=None) | Q(status__in=("paid", "cancelled", "refused")), name="withdrawal_closed_is_decided")),
    ]
