#include "service/session.h"

#include <errno.h>
#include <stdlib.h>

#include <rte_jhash.h>

static struct session *at(const struct session_table *table, int32_t place)
{
    return &table->sessions[place];
}

static int32_t place_of(const struct session_table *table, const struct session *session)
{
    return (int32_t)(session - table->sessions);
}

/* ---- making and ending the table ---- */

int session_table_init(struct session_table *table, unsigned sessions_max, struct session_keys *keys,
                       const struct random_source *random, struct counters *counters)
{
    memset(table, 0, sizeof(*table));
    if (sessions_max < SESSIONS_MIN || sessions_max > SESSIONS_LIMIT || (sessions_max & (sessions_max - 1)))
        return -EINVAL;
    table->sessions = aligned_alloc(_Alignof(struct session), sessions_max * sizeof(struct session));
    table->flow_heads = malloc(sessions_max * sizeof(table->flow_heads[0]));
    if (table->sessions == NULL || table->flow_heads == NULL) {
        free(table->sessions);
        free(table->flow_heads);
        table->sessions = NULL;
        table->flow_heads = NULL;
        return -ENOMEM;
    }
    memset(table->sessions, 0, sessions_max * sizeof(struct session));
    table->keys = keys;
    table->mask = sessions_max - 1;
    table->counters = counters;
    table->unconfirmed_max = sessions_max / 4;
    table->live_max = sessions_max - table->unconfirmed_max;
    random_fill(random, &table->seed, sizeof(table->seed));
    uint32_t first_use;
    random_fill(random, &first_use, sizeof(first_use));
    for (uint32_t i = 0; i < sessions_max; i++) {
        table->sessions[i].id = (first_use & ~table->mask) | i;
        table->sessions[i].next = i + 1 < sessions_max ? (int32_t)i + 1 : SESSION_NONE;
        table->flow_heads[i] = SESSION_NONE;
    }
    for (unsigned i = 0; i < SESSION_PREFIXES; i++)
        table->prefixes[i].oldest = table->prefixes[i].newest = SESSION_NONE;
    return 0;
}

void session_table_fini(struct session_table *table)
{
    if (table->sessions == NULL)
        return;
    for (uint32_t i = 0; i <= table->mask; i++) {
        if (table->sessions[i].state == SESSION_LIVE)
            counter_add(table->counters, COUNTER_native_session_drained, 1);
        if (table->sessions[i].state != SESSION_FREE)
            session_end(table, &table->sessions[i]);
    }
    free(table->sessions);
    free(table->flow_heads);
    table->sessions = NULL;
    table->flow_heads = NULL;
}

/* ---- the flow index and the prefixes' queues ---- */

static int32_t *flow_head(const struct session_table *table, const struct flow *flow)
{
    return &table->flow_heads[rte_jhash(flow, sizeof(*flow), table->seed) & table->mask];
}

static void flow_remove(struct session_table *table, struct session *session)
{
    int32_t *link = flow_head(table, &session->flow);
    while (*link != place_of(table, session))
        link = &at(table, *link)->flow_next;
    *link = session->flow_next;
}

unsigned session_prefix_of(const struct session_table *table, const struct address *source)
{
    /* IPv4 is mapped into the last four bytes: a /24 is the first 15. */
    unsigned bytes = address_is_ip4(source) ? 15 : 8;
    return rte_jhash(source->bytes, bytes, table->seed) & (SESSION_PREFIXES - 1);
}

static void prefix_append(struct session_table *table, struct session *session)
{
    struct session_prefix *prefix = &table->prefixes[session->prefix];
    int32_t place = place_of(table, session);
    session->next = SESSION_NONE;
    session->previous = prefix->newest;
    if (prefix->newest == SESSION_NONE)
        prefix->oldest = place;
    else
        at(table, prefix->newest)->next = place;
    prefix->newest = place;
    prefix->unconfirmed++;
    table->unconfirmed++;
}

static void prefix_remove(struct session_table *table, struct session *session)
{
    struct session_prefix *prefix = &table->prefixes[session->prefix];
    if (session->previous == SESSION_NONE)
        prefix->oldest = session->next;
    else
        at(table, session->previous)->next = session->next;
    if (session->next == SESSION_NONE)
        prefix->newest = session->previous;
    else
        at(table, session->next)->previous = session->previous;
    prefix->unconfirmed--;
    table->unconfirmed--;
    if (session->state == SESSION_COMPUTING)
        prefix->computing--;
}

/* ---- the states ---- */

struct session *session_find_init(const struct session_table *table, const struct flow *flow,
                                  const uint8_t init[SESSION_INIT_BYTES])
{
    for (int32_t i = *flow_head(table, flow); i != SESSION_NONE; i = at(table, i)->flow_next)
        if (flow_equal(&at(table, i)->flow, flow) &&
            memcmp(at(table, i)->init, init, SESSION_INIT_BYTES) == 0)
            return at(table, i);
    return NULL;
}

/* All places of the unconfirmed are taken: one must go for a newcomer from prefix `own`, if that is fair. */
static bool displace(struct session_table *table, unsigned own, uint64_t now_ns)
{
    unsigned heaviest = own;
    for (unsigned i = 0; i < SESSION_PREFIXES; i++)
        if (table->prefixes[i].unconfirmed > table->prefixes[heaviest].unconfirmed)
            heaviest = i;
    int32_t place = table->prefixes[heaviest].oldest;
    /* Jobs finish in order: if the oldest is being computed, so are all of its prefix. */
    if (place == SESSION_NONE || at(table, place)->state != SESSION_PENDING)
        return false;
    if (heaviest == own && now_ns - at(table, place)->used_ns < SESSION_PENDING_GRACE_NS)
        return false;
    session_end(table, at(table, place));
    counter_add(table->counters, COUNTER_native_pending_displaced, 1);
    return true;
}

/* Whether this flow may have one more that is not confirmed. */
static bool make_room_in_flow(struct session_table *table, const struct flow *flow, uint64_t now_ns)
{
    struct session *oldest = NULL; /* a chain's newest come first */
    unsigned unconfirmed = 0;
    for (int32_t i = *flow_head(table, flow); i != SESSION_NONE; i = at(table, i)->flow_next)
        if (at(table, i)->state != SESSION_LIVE && flow_equal(&at(table, i)->flow, flow)) {
            oldest = at(table, i);
            unconfirmed++;
        }
    if (unconfirmed < SESSION_FLOW_UNCONFIRMED_MAX)
        return true;
    if (oldest->state != SESSION_PENDING || now_ns - oldest->used_ns < SESSION_PENDING_GRACE_NS)
        return false;
    session_end(table, oldest);
    counter_add(table->counters, COUNTER_native_pending_displaced, 1);
    return true;
}

struct session *session_begin(struct session_table *table, const struct flow *flow,
                              const uint8_t init[SESSION_INIT_BYTES], uint64_t now_ns)
{
    unsigned prefix = session_prefix_of(table, &flow->peer);
    if (!make_room_in_flow(table, flow, now_ns))
        return NULL;
    if (table->unconfirmed == table->unconfirmed_max && !displace(table, prefix, now_ns))
        return NULL;
    struct session *session = at(table, table->free); /* live_max + unconfirmed_max places: one is free */
    table->free = session->next;

    session->flow = *flow;
    session->state = SESSION_COMPUTING;
    session->prefix = (uint8_t)prefix;
    session->source = source_of(&flow->peer, table->seed);
    session->used_ns = now_ns;
    memcpy(session->init, init, SESSION_INIT_BYTES);
    int32_t *head = flow_head(table, flow);
    session->flow_next = *head;
    *head = place_of(table, session);
    prefix_append(table, session);
    table->prefixes[prefix].computing++;
    return session;
}

void session_responded(struct session_table *table, struct session *session,
                       const uint8_t response[HANDSHAKE_RESPONSE_BYTES], uint64_t now_ns)
{
    table->prefixes[session->prefix].computing--;
    session->state = SESSION_PENDING;
    session->used_ns = now_ns;
    session->version = session_keys_of(table, session)->version;
    memcpy(session->response, response, HANDSHAKE_RESPONSE_BYTES);
}

/* Into the list of those idle for longest, which is full or not. */
static void idle_insert(struct session_table *table, const struct session *session)
{
    unsigned at = table->idle_count;
    if (at == SESSION_RECYCLE_BATCH) {
        if (session->used_ns >= table->idle[at - 1].used_ns)
            return;
        at--;
    } else {
        table->idle_count++;
    }
    for (; at > 0 && table->idle[at - 1].used_ns > session->used_ns; at--)
        table->idle[at] = table->idle[at - 1];
    table->idle[at] = (struct session_idle){.used_ns = session->used_ns, .id = session->id};
}

/* Fills the list; walks the table, but only when a key holder confirms, not for each that does, and not again
 * before one can have become idle enough. */
static void idle_walk(struct session_table *table, uint64_t now_ns)
{
    table->idle_at = table->idle_count = 0;
    if (now_ns < table->recycle_from_ns)
        return;
    counter_add(table->counters, COUNTER_native_session_walks, 1);
    uint64_t oldest_ns = now_ns;
    for (uint32_t i = 0; i <= table->mask; i++) {
        const struct session *session = &table->sessions[i];
        if (session->state != SESSION_LIVE)
            continue;
        if (now_ns - session->used_ns >= SESSION_RECYCLE_IDLE_NS)
            idle_insert(table, session);
        if (session->used_ns < oldest_ns)
            oldest_ns = session->used_ns;
    }
    if (table->idle_count == 0)
        table->recycle_from_ns = oldest_ns + SESSION_RECYCLE_IDLE_NS;
}

/* The live session that was idle for longest, if that is long enough. */
static struct session *recyclable(struct session_table *table, uint64_t now_ns)
{
    for (unsigned walks = 0; walks < 2; walks++) {
        while (table->idle_at < table->idle_count) {
            const struct session_idle *idle = &table->idle[table->idle_at++];
            struct session *session = session_place(table, idle->id);
            if (session->id == idle->id && session->state == SESSION_LIVE &&
                session->used_ns == idle->used_ns)
                return session;
        }
        if (walks == 0)
            idle_walk(table, now_ns);
    }
    return NULL;
}

static struct session *live_session_of(const struct session_table *table, const struct flow *flow)
{
    for (int32_t i = *flow_head(table, flow); i != SESSION_NONE; i = at(table, i)->flow_next)
        if (at(table, i)->state == SESSION_LIVE && flow_equal(&at(table, i)->flow, flow))
            return at(table, i);
    return NULL;
}

bool session_confirm(struct session_table *table, struct session *session, uint64_t now_ns)
{
    struct session *old = live_session_of(table, &session->flow);
    if (old != NULL) {
        counter_add(table->counters, COUNTER_native_session_replaced, 1);
        session_end(table, old);
    } else if (table->live == table->live_max) {
        old = recyclable(table, now_ns);
        if (old == NULL) {
            counter_add(table->counters, COUNTER_native_confirm_no_place, 1);
            return false;
        }
        counter_add(table->counters, COUNTER_native_session_recycled, 1);
        session_end(table, old);
    }
    prefix_remove(table, session);
    table->live++;
    session->state = SESSION_LIVE;
    session->used_ns = now_ns;
    session->send_counter = 0;
    session->parked_bytes = 0;
    memset(&session->replay, 0, sizeof(session->replay));
    retry_window_reset(&session->retry);
    counter_add(table->counters, COUNTER_native_session_opened, 1);
    return true;
}

void session_end(struct session_table *table, struct session *session)
{
    if (session->state == SESSION_LIVE)
        table->live--;
    else
        prefix_remove(table, session);
    flow_remove(table, session);
    keys_wipe(session_keys_of(table, session), sizeof(struct session_keys));
    session->state = SESSION_FREE;
    session->id += table->mask + 1; /* the place's next use */
    session->next = table->free;
    table->free = place_of(table, session);
}

static void expire(struct session_table *table, struct session *session, uint64_t now_ns)
{
    uint64_t age_ns = now_ns - session->used_ns;
    if (session->state == SESSION_PENDING && age_ns > SESSION_PENDING_NS) {
        counter_add(table->counters, COUNTER_native_pending_expired, 1);
        session_end(table, session);
    } else if (session->state == SESSION_LIVE && age_ns > SESSION_IDLE_NS) {
        counter_add(table->counters, COUNTER_native_session_expired, 1);
        session_end(table, session);
    }
}

void session_sweep(struct session_table *table, uint64_t now_ns)
{
    /* As many places as the time since the last turn deserves, at one round a second. */
    const uint64_t place_ns = UINT64_C(1000000000) / ((uint64_t)table->mask + 1);
    uint64_t due = (now_ns - table->swept_ns) / place_ns;
    if (due == 0)
        return;
    if (due > SESSION_SWEEP_MAX) {
        due = SESSION_SWEEP_MAX;
        table->swept_ns = now_ns;
    } else {
        table->swept_ns += due * place_ns;
    }
    for (; due > 0; due--) {
        expire(table, &table->sessions[table->sweep_at], now_ns);
        table->sweep_at = (table->sweep_at + 1) & table->mask;
    }
}

void session_end_pending(struct session_table *table)
{
    for (uint32_t i = 0; i <= table->mask; i++)
        if (table->sessions[i].state == SESSION_PENDING) {
            counter_add(table->counters, COUNTER_native_pending_expired, 1);
            session_end(table, &table->sessions[i]);
        }
}
