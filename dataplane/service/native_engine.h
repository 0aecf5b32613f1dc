/*
 * native_engine.h - what executes messages, whatever brought them: decoded messages to reply messages, under
 * the node's published state, each write once. Shared by native_udp and native_tcp; one engine belongs to one
 * of them, on one worker.
 *
 * Waiting for the log. What an outcome says of the table depends on an LSN: of an item, on the item's
 * version; that there is no such item, or no room, on the last change to its bucket (removals by FLUSH,
 * eviction and expiry are such). Its reply must not leave before that is durable
 *   a write      if --durability sync or its own level says so; its own LSN if it changed something
 *   a GET        if --reads durable, unless it carries FLAG_READ_MEMORY; likewise a write that changed nothing,
 *                since it tells what is there as a read does (FULL among them: conditions hold; not BUSY)
 * native_execute() leaves the highest of these in wait_lsn. The owner parks such a reply (parked.h). It says
 * beforehand, in may_park, whether it has room for it: if not, an operation that needs it answers BUSY, a
 * write before it is executed. A log that has failed never gets there: STALE and TIMEOUT at once.
 */
#ifndef WILD_NATIVE_ENGINE_H
#define WILD_NATIVE_ENGINE_H

#include <stdbool.h>

#include "counters.h"
#include "durability.h"
#include "execute.h"
#include "instant.h"
#include "published_state.h"
#include "service/retry_window.h"

enum { NATIVE_STEPS_AT_ONCE = 64 }; /* operations of one message whose look-ups go together */

/* One operation on its way. */
struct native_step {
    struct operation operation;
    struct table_probe *probe; /* of its key; NULL: it has none, or operation_check() did not pass */
    uint8_t status;            /* enum status of operation_check() */
};

/* A message. Whoever has it looks its first key up, with others if there are, before it is executed. */
struct native_request {
    uint64_t history;          /* of the message */
    uint16_t count;            /* operations */
    uint8_t version;           /* of the protocol */
    const uint8_t *rest, *end; /* the second operation and the message's end, if there are several */
    struct native_step first;
};

/* What the node's published state means for operations. */
struct native_gate {
    uint64_t history;
    uint32_t epoch;
    uint8_t mode, state;
    uint8_t read, write; /* enum status: OK, or why not */
};

/* What the log asks of replies. */
struct native_log {
    struct durability_rules rules;
    const struct durable_point *durable; /* NULL: there is no log, and no primary */
    /* As of the last native_read_durable(). */
    uint64_t durable_lsn; /* UINT64_MAX without a log */
    uint64_t reads_above; /* a read that depends on more than this waits; UINT64_MAX: none does */
    bool failed;
};

struct native_engine {
    struct table *table; /* borrowed, like every pointer here */
    struct execute_context *execute;
    const struct published_state *published;
    struct counters *counters;
    uint64_t started_mono_ns;  /* for uptime in HEALTH */
    struct instant now;        /* the owner's to keep */
    struct native_gate gate;   /* as of the last native_read_gate() */
    uint64_t known_lsn;        /* the table's, as of the last time it mattered: never ahead of it */
    uint16_t known_generation; /* of the table that known_lsn is of */
    struct native_log log;
    uint64_t wait_lsn; /* out of native_execute(): what the reply waits for; 0: nothing */
    bool may_park;     /* in: the reply may wait */
    /* One message of several operations, after its first. */
    struct native_step steps[NATIVE_STEPS_AT_ONCE];
    struct table_probe step_probe[NATIVE_STEPS_AT_ONCE];
};

/* Once a burst or turn; how far the log is, too. */
void native_read_gate(struct native_engine *engine);
void native_read_durable(struct native_engine *engine);

/*
 * Reads a verified message whole. False if it is malformed or of another version: nothing of it may be
 * executed. The request points into it. first.probe is left NULL: native_has_key() says whether the owner
 * must give one that went through table_probe_hash() and table_probe_find().
 */
bool native_decode(struct native_request *request, const uint8_t *message, size_t length, uint8_t version,
                   bool may_be_padded);

static inline bool native_has_key(const struct native_step *step)
{
    return step->status == STATUS_OK && step->operation.key_length > 0;
}

/*
 * Executes a request and writes the reply message to `out`, which may be where the message stands if it is
 * one of a single operation. retry: the session's, NULL without one. Returns its bytes, 0 if not even bare
 * replies fit `room` (nothing was executed).
 */
size_t native_execute(struct native_engine *engine, const struct native_request *request,
                      struct retry_window *retry, uint8_t *out, size_t room);

/*
 * A read's outcome depends on `lsn`, which is above reads_above. Returns its status: `status`, and wait_lsn
 * has risen; or STALE or BUSY, and nothing of what was read may be told.
 */
enum status native_read_waits(struct native_engine *engine, enum status status, uint64_t lsn);

/* What an outcome of the table's depends on. */
static inline uint64_t native_depends_on(enum status status, const struct result *result)
{
    if (status == STATUS_BUSY)
        return 0;
    return result->version != 0 ? result->version : result->bucket_lsn;
}

void native_count_refusal(struct native_engine *engine, enum status status); /* if it is one */

#endif
