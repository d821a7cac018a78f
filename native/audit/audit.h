/*
 * audit.h - recomputing the audit trail's hashes at speed. What is hashed is said by compliance/audit/chain.py, whose results
 * these must be (native/tests/test_audit.py, compliance/tests/test_audit_verify.py).
 */
#ifndef AUDIT_H
#define AUDIT_H
#include <stddef.h>
#include <stdint.h>

/* CDEF-BEGIN */
/*
 * Check rows of audit_entry as PostgreSQL's record_send writes them, one behind the other, columns as recorder.COLUMNS.
 * `previous` (32 bytes) is the entry hash before row `first`; it is moved on. Leaf hashes (32 bytes each) go to `leaves`, which
 * has room for `room`. Returns how many rows in front are whole, consecutive and hash to what they say; it stops at the first other.
 */
int64_t audit_walk(const uint8_t *data, size_t length, int64_t first, uint8_t *previous, uint8_t *leaves, int64_t room);

/* The next level of the Merkle tree: `pairs` nodes of 32 bytes from twice as many. `out` may not overlap. */
void audit_pairs(const uint8_t *below, int64_t pairs, uint8_t *out);

/* SHA-256; `plain` leaves the processor's own instructions out. For the tests. */
void audit_sha256(const uint8_t *data, size_t length, uint8_t *out, int plain);

/* 1 where the processor has instructions for SHA-256 and they are used. */
int audit_sha_fast(void);
/* CDEF-END */
#endif
