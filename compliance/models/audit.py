"""Tables of the audit trail. The database itself keeps them append-only (migration 0001), so Django does not manage them:
a flush of the tables between tests would be refused like any other."""

from __future__ import annotations

from django.db import models


class AuditEntry(models.Model):
    """One act, in its place in the chain. What it changed is sealed in ``payload``; the hash is over the sealed bytes."""

    seq = models.BigIntegerField(primary_key=True)
    source_id = models.BigIntegerField(unique=True, help_text="Id of the waiting row; binds the sealed payload")
    ts = models.DateTimeField()
    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=64, blank=True)
    on_behalf_of = models.CharField(max_length=64, blank=True)
    action = models.CharField(max_length=64)
    object_type = models.CharField(max_length=64)
    object_id = models.CharField(max_length=128)
    subject = models.CharField(max_length=64, blank=True)
    request_id = models.CharField(max_length=64, blank=True)
    ip_hash = models.CharField(max_length=64, blank=True)
    payload = models.BinaryField()
    payload_hash = models.BinaryField()
    prev_hash = models.BinaryField()
    entry_hash = models.BinaryField()
    leaf_hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "audit_entry"
        ordering = ("-seq",)
        verbose_name_plural = "audit entries"

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class AuditNode(models.Model):
    """The hash of a complete subtree of the Merkle tree; level 0 are the entries' own leaf hashes."""

    pk = models.CompositePrimaryKey("level", "index")
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        managed = False
        db_table = "audit_node"

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"


class AuditCheckpoint(models.Model):
    """A signed note on the tree of ``size`` entries."""

    size = models.BigIntegerField(primary_key=True)
    root = models.BinaryField()
    ts = models.DateTimeField()
    note = models.TextField()

    class Meta:
        managed = False
        db_table = "audit_checkpoint"
        ordering = ("-size",)

    def __str__(self) -> str:
        return f"checkpoint {self.size}"
