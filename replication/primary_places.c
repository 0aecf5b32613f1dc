/*
 * primary_places.c - places for those who have not said who they are: so many, few for each source, so that
 * nobody keeps replicas out by connecting; and how often hands are shaken, which costs time of the thread
 * that sends to the others.
 */
#include "primary_internal.h"

#include <string.h>

/* A newcomer of the same source is not given up before that: it may be on its way to a HELLO. */
#define GRACE_NS UINT64_C(250000000)

static_assert(PRIMARY_SESSIONS_MAX <= UINT8_MAX, "struct primary: used");

bool allowance_take(struct allowance *allowance, uint64_t now_ns, unsigned a_second, unsigned burst)
{
    uint64_t one = UINT64_C(1000000000) / a_second;
    if (allowance->full_ns < now_ns)
        allowance->full_ns = now_ns;
    if (allowance->full_ns - now_ns > (burst - 1) * one)
        return false;
    allowance->full_ns += one;
    return true;
}

static bool is_ip4(const uint8_t address[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* IPv6: a /64 has one owner. */
static bool same_source(const uint8_t a[16], const uint8_t b[16])
{
    return is_ip4(a) == is_ip4(b) && memcmp(a, b, is_ip4(a) ? 16 : 8) == 0;
}

/* Who was there lately; else in the place of whose allowance has been whole for longest: forgotten, it has lost
 * nothing. */
static struct shaker *find_shaker(struct primary *primary, const uint8_t address[16])
{
    struct shaker *oldest = &primary->shakers[0];

    for (unsigned i = 0; i < SHAKERS_REMEMBERED; i++) {
        struct shaker *shaker = &primary->shakers[i];
        if (same_source(shaker->address, address))
            return shaker;
        if (shaker->allowance.full_ns < oldest->allowance.full_ns)
            oldest = shaker;
    }
    *oldest = (struct shaker){.allowance.full_ns = 0};
    memcpy(oldest->address, address, sizeof oldest->address);
    return oldest;
}

/* Its own first: who is refused by that costs the others nothing. */
bool primary_may_shake(struct primary *primary, const uint8_t address[16])
{
    return allowance_take(&find_shaker(primary, address)->allowance, primary->now_ns,
                          PRIMARY_SOURCE_HANDSHAKES_S, PRIMARY_SOURCE_MAX) &&
           allowance_take(&primary->handshakes, primary->now_ns, PRIMARY_HANDSHAKES_S, HANDSHAKES_BURST);
}

bool primary_same_source(const struct primary_session *a, const struct primary_session *b)
{
    return same_source(a->link.peer_address, b->link.peer_address);
}

/* Those who still have to say HELLO. */
struct newcomers {
    unsigned count;
    struct primary_session *session[PRIMARY_SHAKING_MAX];
};

static void find_newcomers(struct primary *primary, struct newcomers *out)
{
    out->count = 0;
    for (unsigned i = 0; i < primary->used_count; i++) {
        struct primary_session *session = &primary->session[primary->used[i]];
        if (session->state == SESSION_NEWCOMER)
            out->session[out->count++] = session;
    }
}

/* Of one source: how many, and which came first. */
static unsigned count_of(const struct newcomers *newcomers, const uint8_t address[16],
                         struct primary_session **oldest)
{
    unsigned count = 0;
    *oldest = NULL;
    for (unsigned i = 0; i < newcomers->count; i++) {
        struct primary_session *session = newcomers->session[i];
        if (!same_source(address, session->link.peer_address))
            continue;
        count++;
        if (*oldest == NULL || session->since_ns < (*oldest)->since_ns)
            *oldest = session;
    }
    return count;
}

/* Of the source with the most newcomers, the oldest; of several such sources, the oldest of them all. */
static struct primary_session *whose_turn_it_was(const struct newcomers *newcomers)
{
    struct primary_session *found = NULL, *oldest;
    unsigned most = 0;

    for (unsigned i = 0; i < newcomers->count; i++) {
        unsigned count = count_of(newcomers, newcomers->session[i]->link.peer_address, &oldest);
        if (count > most || (count == most && oldest->since_ns < found->since_ns)) {
            most = count;
            found = oldest;
        }
    }
    return found;
}

struct primary_session *primary_place(struct primary *primary, const uint8_t address[16])
{
    struct primary_session *gives_way = NULL, *oldest;
    struct newcomers newcomers;

    if (primary->closed || primary->used_count == PRIMARY_SESSIONS_MAX)
        return NULL;
    find_newcomers(primary, &newcomers);
    if (count_of(&newcomers, address, &oldest) >= PRIMARY_SOURCE_MAX) {
        if (primary->now_ns - oldest->since_ns < GRACE_NS)
            return NULL;
        gives_way = oldest;
    } else if (newcomers.count >= PRIMARY_SHAKING_MAX) {
        gives_way = whose_turn_it_was(&newcomers);
    }
    if (gives_way != NULL)
        primary_drop(gives_way, REPLICATION_crowded);
    for (unsigned i = 0; i < PRIMARY_SESSIONS_MAX; i++)
        if (primary->session[i].state == SESSION_FREE)
            return &primary->session[i];
    return NULL;
}
