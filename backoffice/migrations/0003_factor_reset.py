from django.db import migrations


class Migration(migrations.Migration):
    """Permissions for lost second factors."""

    dependencies = [
        ("backoffice", "0002_emergency_roles"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="approval",
            options={
                "default_permissions": ("view",),
                "ordering": ("-id",),
                "permissions": [
                    ("request_money", "Asks for deposits and debits by hand"),
                    ("approve_money", "Decides about deposits and debits by hand"),
                    ("request_account", "Asks for halts and limits of accounts"),
                    ("approve_account", "Decides about halts and limits of accounts"),
                    ("request_factor_reset", "Asks to remove lost second factors of clients"),
                    ("approve_factor_reset", "Decides about lost second factors of clients"),
                    ("request_role", "Asks for roles of staff"),
                    ("approve_role", "Decides about roles of staff"),
                ],
            },
        ),
    ]
