/*
 * primary_callers.c - nodes that want to be primary: each PROBE and SEAL is answered by what this node has,
 * and has promised. What they ask for is decided, and made durable, by the node (primary_seat); here is
 * only who may ask.
 */
#include "primary_internal.h"

#include <string.h>

static unsigned caller_count(const struct primary *primary)
{
    unsigned count = 0;
    for (unsigned i = 0; i < primary->used_count; i++)
        count += primary->session[primary->used[i]].state == SESSION_CALLER;
    return count;
}

bool primary_take_call(struct primary_session *session, const struct replication_message *message)
{
    bool is_first = session->state == SESSION_NEWCOMER && !session->said_hello;

    /* One question at a time; who has said HELLO asks none. */
    if ((!is_first && session->state != SESSION_CALLER) || session->call_due || session->sending != 0 ||
        (is_first && caller_count(session->primary) >= PRIMARY_CALLERS_MAX))
        return false;
    session->state = SESSION_CALLER;
    session->call_due = true;
    session->call_type = message->type;
    session->call = message->call;
    return true;
}

/* Whether who asks may know; standing: what there is to tell. */
static bool may_ask(const struct primary_session *session, struct replication_standing *standing,
                    struct verdict *verdict)
{
    const struct primary_seat *seat = &session->primary->config.seat;
    const struct replication_call *call = &session->call;
    uint8_t cluster_id[CLUSTER_ID_BYTES];

    *verdict = (struct verdict){.refuse = 0};
    *standing = (struct replication_standing){.version = REPLICATION_VERSION, .node_id = seat->node_id};
    if (call->version != REPLICATION_VERSION)
        primary_refuse(verdict, REFUSE_VERSION, "version %u here, %u there", (unsigned)REPLICATION_VERSION,
                       call->version);
    else if (seat->standing == NULL || !seat->standing(seat->state, standing, cluster_id))
        primary_refuse(verdict, REFUSE_NOT_READY, "it has no log, or has not read it yet");
    else if (memcmp(cluster_id, call->cluster_id, CLUSTER_ID_BYTES) != 0)
        primary_refuse_foreign(verdict, cluster_id, call->cluster_id);
    else if (call->node_id == seat->node_id)
        primary_refuse(verdict, REFUSE_SAME_NODE, "the caller's node id is its own");
    return verdict->refuse == 0;
}

/* False: not decided yet. */
static bool answer(struct primary_session *session)
{
    struct primary *primary = session->primary;
    const struct primary_seat *seat = &primary->config.seat;
    const struct replication_call *call = &session->call;
    struct replication_standing standing;
    struct verdict verdict;

    if (!may_ask(session, &standing, &verdict)) {
        replication_count(primary->config.counters, REPLICATION_refused, 1);
        primary_send_refuse(session, &verdict);
        return true;
    }
    if (session->call_type == REPLICATION_PROBE && call->epoch > standing.epoch)
        seat->heard(seat->state, call->epoch);
    if (session->call_type == REPLICATION_SEAL && !seat->seal(seat->state, call->epoch, call->node_id))
        return false;
    if (!may_ask(session, &standing, &verdict)) { /* it is told as it is now */
        primary_send_refuse(session, &verdict);
        return true;
    }
    replication_count(primary->config.counters, REPLICATION_calls, 1);
    primary_send_standing(session, &standing);
    return true;
}

unsigned primary_caller_turn(struct primary_session *session)
{
    struct primary *primary = session->primary;

    if (primary->now_ns - session->since_ns >= PRIMARY_CALLER_NS) {
        primary_drop(session, REPLICATION_silent);
        return 1;
    }
    if (session->call_due && session->sending == 0)
        session->call_due = !answer(session);
    return session->state == SESSION_CALLER ? primary_send(session) : 1;
}
