from django.db import migrations


class Migration(migrations.Migration):
    """The app's first step; tables come with the parts that need them."""

    initial = True
    dependencies = []
    operations = []
