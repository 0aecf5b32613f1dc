/*
 * linear.h - whether what clients saw of one register can have happened one call after the other, each at an
 * instant between its invocation and its return (linearizable).
 *
 * The register holds a number; 0: it is absent. A call needs something of the state that it finds, and may
 * set another:
 *
 *   SET v               needs nothing, sets v         GET -> v             needs v
 *   SET v if absent     needs 0, sets v               GET -> absent        needs 0
 *   ... -> EXISTS       needs other than 0            DELETE               needs other than 0, sets 0
 *   SET v if version    needs the value that it       ... -> mismatch      needs other than that value
 *                       has, sets v
 *
 * A call that was not answered may have happened at any instant after its invocation, or not at all:
 * `optional`, and it never returned. No two calls set the same number, but for 0.
 */
#ifndef WILD_LINEAR_H
#define WILD_LINEAR_H

#include <stdbool.h>
#include <stdint.h>

enum { LINEAR_CALLS_MAX = 512 };
#define LINEAR_NEVER UINT64_MAX

enum linear_need { LINEAR_ANY, LINEAR_IS, LINEAR_IS_NOT };

struct linear_call {
    uint64_t invoked, returned; /* any clock; LINEAR_NEVER if optional */
    uint64_t expected;          /* of need */
    uint64_t value;             /* if it sets */
    enum linear_need need;
    bool sets, optional;
};

enum linear_verdict {
    LINEAR_YES,
    LINEAR_NO,
    LINEAR_TOO_HARD, /* too many calls, or too many orders to try */
};

/*
 * Whether there is such an order that begins with one of the `initials` numbers (at least one). The calls are
 * sorted by invocation.
 */
enum linear_verdict linear_check(struct linear_call *calls, unsigned count, const uint64_t *initial,
                                 unsigned initials);

#endif
