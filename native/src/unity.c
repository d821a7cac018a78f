/*
 * unity.c - the whole core as one translation unit, so that the compiler sees across files. Each file also compiles alone.
 */
#include "core.c"
#include "book.c"
#include "risk.c"
#include "money.c"
#include "ids.c"
#include "checks.c"
#include "match.c"
#include "orders.c"
#include "admin.c"
#include "checksum.c"
#include "state.c"
#include "snapshot.c"
