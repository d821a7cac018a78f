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

/*
 * The same for rows that come column by column, as the statement of compliance/audit/verify.py gathers them: numbers and times as
 * 8 bytes each, everything else with `mark` between one row's value and the next one's. The mark is drawn by lot for each verification,
 * begins with a byte that it has nowhere else, and so stands in no value: whoever changed a row could not know it. All or nothing:
 * 1 when every column has exactly `rows` values and every row holds; 0, with `previous` and `leaves` undefined, when not.
 */
int audit_columns(const uint8_t *const *data, const size_t *length, const uint8_t *mark, size_t mark_length, int64_t first,
                  uint8_t *previous, uint8_t *leaves, int64_t rows);

/* The next level of the Merkle tree: `pairs` nodes of 32 bytes from twice as many. `out` may not overlap. */
void audit_pairs(const uint8_t *below, int64_t pairs, uint8_t *out);

/* SHA-256; `plain` leaves the processor's own instructions out. For the tests. */
void audit_sha256(const uint8_t *data, size_t length, uint8_t *out, int plain);

/* Two messages at once, which takes little longer than one where the processor has the instructions. */
void audit_sha256_two(const uint8_t *data, size_t length, uint8_t *out, const uint8_t *other, size_t other_length, uint8_t *other_out);
/* CDEF-END */
#endif
