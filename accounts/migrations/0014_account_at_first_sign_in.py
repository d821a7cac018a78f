from django.db import migrations, models


class Migration(migrations.Migration):
    """An account is opened at the first sign-in, not with the registration."""

    dependencies = [
        ("accounts", "0013_onboard_entities"),
    ]

    operations = [
        migrations.AddField(
            model_name="user",
            name="account_due",
            field=models.BooleanField(
                default=False,
                help_text="Registered and not signed in yet: the account is opened at the first sign-in",
            ),
        ),
    ]
