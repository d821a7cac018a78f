"""When a client left, what the law holds, when the client was erased. Who left before is found in the audit trail."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def ended_before(apps, schema_editor):
    end, entry, user = (
        apps.get_model(app, name)
        for app, name in (("compliance", "ClientEnd"), ("compliance", "AuditEntry"), ("accounts", "User"))
    )
    for row in entry.objects.filter(action="user.closed").order_by("seq").iterator():
        if user.objects.filter(pk=row.object_id).exists():
            end.objects.update_or_create(user_id=row.object_id, defaults={"ended_at": row.ts})


class Migration(migrations.Migration):

    dependencies = [
        ("accounts", "0013_onboard_entities"),
        ("compliance", "0003_onboard_entities"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ClientEnd",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("ended_at", models.DateTimeField(blank=True, help_text="End of the relation; empty while it goes on", null=True)),
                ("held_at", models.DateTimeField(blank=True, help_text="Nothing of the client is deleted since then", null=True)),
                ("held_reason", models.CharField(blank=True, default="", max_length=200)),
                ("erased_at", models.DateTimeField(blank=True, null=True)),
                ("user", models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name="client_end", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "ordering": ("-id",),
                "indexes": [models.Index(condition=models.Q(("erased_at", None), ("held_at", None)), fields=["ended_at"], name="client_end_due")],
                "constraints": [models.CheckConstraint(condition=models.Q(("erased_at", None), ("held_at", None), _connector="OR"), name="held_is_not_erased")],
            },
        ),
        migrations.RunPython(ended_before, migrations.RunPython.noop),
    ]
