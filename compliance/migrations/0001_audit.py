"""The audit tables, append-only by trigger. Roles: see docs/audit.md (they need rights that a migration may not have)."""

from django.db import migrations, models

SQL = """
CREATE TABLE audit_entry (
    seq bigint PRIMARY KEY CHECK (seq > 0),
    source_id bigint NOT NULL UNIQUE,
    ts timestamptz NOT NULL,
    actor_type varchar(16) NOT NULL,
    actor_id varchar(64) NOT NULL,
    on_behalf_of varchar(64) NOT NULL,
    action varchar(64) NOT NULL,
    object_type varchar(64) NOT NULL,
    object_id varchar(128) NOT NULL,
    subject varchar(64) NOT NULL,
    request_id varchar(64) NOT NULL,
    ip_hash varchar(64) NOT NULL,
    payload bytea NOT NULL,
    payload_hash bytea NOT NULL CHECK (length(payload_hash) = 32),
    prev_hash bytea NOT NULL CHECK (length(prev_hash) = 32),
    entry_hash bytea NOT NULL CHECK (length(entry_hash) = 32),
    leaf_hash bytea NOT NULL CHECK (length(leaf_hash) = 32)
);
CREATE INDEX audit_entry_actor ON audit_entry (actor_id, seq);
CREATE INDEX audit_entry_object ON audit_entry (object_type, object_id, seq);
CREATE INDEX audit_entry_action ON audit_entry (action, seq);
CREATE INDEX audit_entry_ts ON audit_entry (ts, seq);
CREATE TABLE audit_node (
    level smallint NOT NULL CHECK (level > 0),
    index bigint NOT NULL CHECK (index >= 0),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, index)
);
CREATE TABLE audit_checkpoint (
    size bigint PRIMARY KEY CHECK (size >= 0),
    root bytea NOT NULL CHECK (length(root) = 32),
    ts timestamptz NOT NULL,
    note text NOT NULL
);
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
""" + "".join(
    f"""
CREATE TRIGGER {table}_keep BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER {table}_keep_all BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keep;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_keep_all;
REVOKE ALL ON {table} FROM PUBLIC;
"""
    for table in ("audit_entry", "audit_node", "audit_checkpoint")
)


class Migration(migrations.Migration):
    initial = True
    dependencies = [("platform", "0002_audit_pending_and_data_keys")]
    # One way: undoing it would drop the evidence.
    operations = [
        migrations.RunSQL(SQL),
        migrations.CreateModel(
            name='AuditCheckpoint',
            fields=[
                ('size', models.BigIntegerField(primary_key=True, serialize=False)),
                ('root', models.BinaryField()),
                ('ts', models.DateTimeField()),
                ('note', models.TextField()),
            ],
            options={
                'db_table': 'audit_checkpoint',
                'ordering': ('-size',),
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('seq', models.BigIntegerField(primary_key=True, serialize=False)),
                ('source_id', models.BigIntegerField(help_text='Id of the waiting row; binds the sealed payload', unique=True)),
                ('ts', models.DateTimeField()),
                ('actor_type', models.CharField(max_length=16)),
                ('actor_id', models.CharField(blank=True, max_length=64)),
                ('on_behalf_of', models.CharField(blank=True, max_length=64)),
                ('action', models.CharField(max_length=64)),
                ('object_type', models.CharField(max_length=64)),
                ('object_id', models.CharField(max_length=128)),
                ('subject', models.CharField(blank=True, max_length=64)),
                ('request_id', models.CharField(blank=True, max_length=64)),
                ('ip_hash', models.CharField(blank=True, max_length=64)),
                ('payload', models.BinaryField()),
                ('payload_hash', models.BinaryField()),
                ('prev_hash', models.BinaryField()),
                ('entry_hash', models.BinaryField()),
                ('leaf_hash', models.BinaryField()),
            ],
            options={
                'verbose_name_plural': 'audit entries',
                'db_table': 'audit_entry',
                'ordering': ('-seq',),
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='AuditNode',
            fields=[
                ('pk', models.CompositePrimaryKey('level', 'index', blank=True, editable=False, primary_key=True, serialize=False)),
                ('level', models.SmallIntegerField()),
                ('index', models.BigIntegerField()),
                ('hash', models.BinaryField()),
            ],
            options={
                'db_table': 'audit_node',
                'managed': False,
            },
        ),
    ]
