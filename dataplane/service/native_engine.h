/*
 * native_engine.h - what executes messages, whatever brought them: decoded messages to reply messages, under
 * the node's published state, each write once. Shared by native_udp and native_tcp; one engine belongs to one
 * of them, on one worker.
 */
#ifndef WILD_NATIVE_ENGINE_H
#define WILD_NATIVE_ENGINE_H

#include <stdbool.h>

#include "counters.h"
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

struct native_engine {
    struct table *table; /* borrowed, like every pointer here */
    struct execute_context *execute;
    const struct published_state *published;
    struct counters *counters;
    uint64_t started_mono_ns; /* for uptime in HEALTH */
    struct instant now;       /* the owner's to keep */
    struct native_gate gate;  /* as of the last native_read_gate() */
    uint64_t known_lsn;       /* the table's, as of the last time it mattered: never ahead of it */
    /* One message of several operations, after its first. */
    struct native_step steps[NATIVE_STEPS_AT_ONCE];
    struct table_probe step_probe[NATIVE_STEPS_AT_ONCE];
};

/* Once a burst or turn. */
void native_read_gate(struct native_engine *engine);

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

void native_count_refusal(struct native_engine *engine, enum status status); /* if it is one */

#endif
