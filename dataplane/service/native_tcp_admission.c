/*
 * native_tcp_admission.c - places, by source: who of those who linger, and then of the unconfirmed, makes
 * room for a newcomer, and who of those who have a session for one who has just shaken hands.
 */
#include "service/native_tcp_internal.h"

#include <rte_common.h>

/* Places that are kept free, so that a newcomer has one before the `closed` of whoever made room has come. */
enum { PLACES_SPARE = 64 };

/* Sessions looked at for the one that was idle for longest. They lie in no order of use, which would cost
 * every request; those looked at go to the end of the line, so that each has its turn. */
enum { IDLE_LOOKS = 64 };

static struct native_crowd *crowd_at(struct native_tcp *service, struct source source,
                                     enum native_crowd_kind kind)
{
    return &service->hosts[source.network * SOURCE_HOSTS + source.host].crowds[kind];
}

/* ---- crowds ---- */

static void append(struct native_crowd *crowd, struct native_connection *c)
{
    int32_t place = native_tcp_place(c);
    c->next = NOBODY;
    c->previous = crowd->count > 0 ? crowd->newest : NOBODY;
    if (crowd->count > 0)
        c->service->connections[crowd->newest].next = place;
    else
        crowd->oldest = place;
    crowd->newest = place;
    crowd->count++;
}

static void cut(struct native_crowd *crowd, struct native_connection *c)
{
    struct native_tcp *service = c->service;
    if (c->previous == NOBODY)
        crowd->oldest = c->next;
    else
        service->connections[c->previous].next = c->next;
    if (c->next == NOBODY)
        crowd->newest = c->previous;
    else
        service->connections[c->next].previous = c->previous;
    crowd->count--;
}

void native_tcp_join(struct native_connection *c, enum native_crowd_kind kind)
{
    struct native_tcp *service = c->service;
    if (c->crowd != CROWD_NONE) {
        cut(crowd_at(service, c->source, c->crowd), c);
        service->networks[c->crowd][c->source.network]--;
        service->crowds[c->crowd]--;
    }
    c->crowd = (uint8_t)kind;
    if (kind != CROWD_NONE) {
        append(crowd_at(service, c->source, kind), c);
        service->networks[kind][c->source.network]++;
        service->crowds[kind]++;
    }
}

void native_tcp_begin_unconfirmed(struct native_connection *c)
{
    c->service->unconfirmed += !c->unconfirmed;
    c->unconfirmed = true;
    native_tcp_join(c, CROWD_UNCONFIRMED);
}

void native_tcp_leave(struct native_connection *c)
{
    c->service->unconfirmed -= c->unconfirmed;
    c->unconfirmed = false;
    native_tcp_join(c, CROWD_NONE);
}

/* The host that holds most of that network. */
static struct source heaviest_of(const struct native_tcp *service, uint8_t network,
                                 enum native_crowd_kind kind, uint8_t from)
{
    uint32_t held[SOURCE_HOSTS];
    const struct native_host *hosts = &service->hosts[network * SOURCE_HOSTS];
    for (unsigned i = 0; i < SOURCE_HOSTS; i++)
        held[i] = hosts[i].crowds[kind].count;
    return (struct source){.network = network, .host = source_heaviest(held, from)};
}

/* The host that holds most of the network that does. There is somebody in a crowd of that kind. */
static struct source heaviest(struct native_tcp *service, enum native_crowd_kind kind)
{
    uint8_t from = service->displaced++;
    return heaviest_of(service, source_heaviest(service->networks[kind], from), kind, from);
}

static struct native_connection *oldest_of(struct native_tcp *service, struct source source,
                                           enum native_crowd_kind kind)
{
    return &service->connections[crowd_at(service, source, kind)->oldest];
}

/* ---- newcomers ---- */

/* How many may be unconfirmed now. Those who linger are no hindrance: they make room first. */
static unsigned share(const struct native_tcp *service)
{
    unsigned others = service->used - service->unconfirmed - service->crowds[CROWD_LINGERING];
    unsigned room = service->config.connections_max - others;
    unsigned spare = RTE_MIN(room / 2, (unsigned)PLACES_SPARE);
    return RTE_MIN(room - spare, service->unconfirmed_max);
}

/*
 * Half of the places that sessions leave are free, so that newcomers have one each before the `closed` of
 * those who made room has come: whoever lingers beyond that is reset, for each newcomer one, of the source
 * that has most of them.
 */
static void hurry_who_lingers(struct native_tcp *service)
{
    unsigned places = service->config.connections_max, kept_free = (places - service->live_max + 1) / 2;
    if (service->crowds[CROWD_LINGERING] == 0 || places - service->used > kept_free)
        return;
    native_tcp_abort(oldest_of(service, heaviest(service, CROWD_LINGERING), CROWD_LINGERING),
                     COUNTER_native_tcp_linger_displaced);
}

/* The source that holds most gives up its oldest; the newcomer's own only if that has had its chance. */
static bool displace(struct native_tcp *service, struct source newcomer)
{
    if (service->crowds[CROWD_UNCONFIRMED] == 0)
        return false;
    struct source source = heaviest(service, CROWD_UNCONFIRMED);
    struct native_connection *c = oldest_of(service, source, CROWD_UNCONFIRMED);
    if (source_equal(source, newcomer) && service->engine.now.mono_ns - c->since_ns < NATIVE_TCP_GRACE_NS)
        return false;
    native_tcp_abort(c, COUNTER_native_pending_displaced);
    return true;
}

bool native_tcp_make_room(struct native_tcp *service, struct source newcomer)
{
    if (service->unconfirmed < share(service))
        hurry_who_lingers(service);
    else if (!displace(service, newcomer))
        return false; /* and nobody was hurried for it */
    return service->free != NOBODY;
}

/* ---- sessions ---- */

unsigned native_tcp_live_max(unsigned connections_max)
{
    unsigned newcomers = connections_max / 8;
    return connections_max - (newcomers < 1 ? 1 : RTE_MIN(newcomers, (unsigned)PLACES_SPARE));
}

/*
 * The source that holds most sessions. If its network is no heavier than the newcomer's, it is of that:
 * whether one of its hosts holds more than the newcomer's is then the question, not what networks of the same
 * weight do.
 */
static struct source heaviest_live(struct native_tcp *service, struct source newcomer)
{
    const uint32_t *networks = service->networks[CROWD_LIVE];
    struct source source = heaviest(service, CROWD_LIVE);
    if (networks[source.network] > networks[newcomer.network])
        return source;
    return heaviest_of(service, newcomer.network, CROWD_LIVE, service->displaced);
}

/* Whether `other` holds more than `source`, as networks or, within one, as hosts. */
static bool holds_more(struct native_tcp *service, struct source other, struct source source)
{
    const uint32_t *networks = service->networks[CROWD_LIVE];
    if (other.network != source.network)
        return networks[other.network] > networks[source.network];
    return crowd_at(service, other, CROWD_LIVE)->count > crowd_at(service, source, CROWD_LIVE)->count;
}

static struct native_connection *idlest(struct native_tcp *service, struct native_crowd *crowd)
{
    struct native_connection *found = &service->connections[crowd->oldest];
    for (unsigned i = RTE_MIN((unsigned)IDLE_LOOKS, crowd->count); i > 0; i--) {
        struct native_connection *c = &service->connections[crowd->oldest];
        if (c->since_ns < found->since_ns)
            found = c;
        cut(crowd, c);
        append(crowd, c);
    }
    return found;
}

void native_tcp_share_out(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    const unsigned *live = &service->crowds[CROWD_LIVE];
    if (*live <= service->live_max)
        return;
    native_tcp_execute(service); /* what was asked before is answered; that may end some, too */
    if (c->state != CONNECTION_LIVE || *live <= service->live_max)
        return;
    struct source source = heaviest_live(service, c->source);
    bool made_room = holds_more(service, source, c->source);
    native_tcp_count(service, made_room ? COUNTER_native_tcp_made_room : COUNTER_native_tcp_no_share);
    native_tcp_close_in_order(made_room ? idlest(service, crowd_at(service, source, CROWD_LIVE)) : c);
}
