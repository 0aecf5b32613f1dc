/*
 * native_tcp_admission.c - places, by source: who of the unconfirmed makes room for a newcomer, and who of those who have
 * a session for one who has just shaken hands.
 */
#include "service/native_tcp_internal.h"

#include <rte_common.h>

/* Places that are kept free, so that a newcomer has one before the `closed` of whoever made room has come. */
enum { PLACES_SPARE = 64 };

/* Sessions looked at for the one that was idle for longest. They lie in no order of use, which would cost every
 * request; those looked at go to the end of the line, so that each has its turn. */
enum { IDLE_LOOKS = 64 };

static struct native_host *host_of(const struct native_connection *c)
{
    return &c->service->hosts[c->source.network * SOURCE_HOSTS + c->source.host];
}

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

/* ---- those who are not confirmed ---- */

void native_tcp_list(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    if (!c->unconfirmed)
        service->unconfirmed++;
    c->unconfirmed = c->listed = true;
    append(&host_of(c)->unconfirmed, c);
    service->networks[c->source.network]++;
}

void native_tcp_delist(struct native_connection *c)
{
    if (!c->listed)
        return;
    c->listed = false;
    cut(&host_of(c)->unconfirmed, c);
    c->service->networks[c->source.network]--;
}

void native_tcp_unlist(struct native_connection *c)
{
    native_tcp_delist(c);
    c->service->unconfirmed -= c->unconfirmed;
    c->unconfirmed = false;
}

/* How many may be unconfirmed now. */
static unsigned share(const struct native_tcp *service)
{
    unsigned others = service->used - service->unconfirmed, room = service->config.connections_max - others;
    unsigned spare = RTE_MIN(room / 2, (unsigned)PLACES_SPARE);
    return RTE_MIN(room - spare, service->unconfirmed_max);
}

/* The source that holds most gives up its oldest; the newcomer's own only if that has had its chance. */
static bool displace(struct native_tcp *service, struct source newcomer)
{
    uint32_t held[SOURCE_HOSTS];
    uint8_t from = service->displaced++;
    struct source source = {.network = source_heaviest(service->networks, from)};
    if (service->networks[source.network] == 0)
        return false;
    const struct native_host *hosts = &service->hosts[source.network * SOURCE_HOSTS];
    for (unsigned i = 0; i < SOURCE_HOSTS; i++)
        held[i] = hosts[i].unconfirmed.count;
    source.host = source_heaviest(held, from);
    struct native_connection *c = &service->connections[hosts[source.host].unconfirmed.oldest];
    if (source_equal(source, newcomer) && service->engine.now.mono_ns - c->since_ns < NATIVE_TCP_GRACE_NS)
        return false;
    native_tcp_abort(c, COUNTER_native_pending_displaced);
    return true;
}

bool native_tcp_make_room(struct native_tcp *service, struct source newcomer)
{
    if (service->unconfirmed >= share(service) && !displace(service, newcomer))
        return false;
    return service->free != NOBODY;
}

/* ---- sessions ---- */

unsigned native_tcp_live_max(unsigned connections_max)
{
    unsigned newcomers = connections_max / 8;
    return connections_max - (newcomers < 1 ? 1 : RTE_MIN(newcomers, (unsigned)PLACES_SPARE));
}

void native_tcp_begin_live(struct native_connection *c)
{
    c->live = true;
    c->service->live++;
    append(&host_of(c)->live, c);
    c->service->live_networks[c->source.network]++;
}

void native_tcp_end_live(struct native_connection *c)
{
    if (!c->live)
        return;
    c->live = false;
    c->service->live--;
    cut(&host_of(c)->live, c);
    c->service->live_networks[c->source.network]--;
}

/* The host that holds most of the network that does. */
static struct source heaviest_live(struct native_tcp *service)
{
    uint32_t held[SOURCE_HOSTS];
    uint8_t from = service->displaced++;
    struct source source = {.network = source_heaviest(service->live_networks, from)};
    const struct native_host *hosts = &service->hosts[source.network * SOURCE_HOSTS];
    for (unsigned i = 0; i < SOURCE_HOSTS; i++)
        held[i] = hosts[i].live.count;
    source.host = source_heaviest(held, from);
    return source;
}

/* Whether `other` holds more than `source`, as networks or, within one, as hosts. */
static bool holds_more(const struct native_tcp *service, struct source other, struct source source)
{
    if (other.network != source.network)
        return service->live_networks[other.network] > service->live_networks[source.network];
    const struct native_host *hosts = &service->hosts[source.network * SOURCE_HOSTS];
    return hosts[other.host].live.count > hosts[source.host].live.count;
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

/* In order, if that leaves newcomers room: whoever does not hang up keeps its place for NATIVE_TCP_CLOSING_NS. */
static void end_session(struct native_connection *c, enum counter why)
{
    const struct native_tcp *service = c->service;
    unsigned places = service->config.connections_max, spare = places - service->live_max;
    if (places - service->used < (spare + 1) / 2) {
        native_tcp_abort(c, why);
        return;
    }
    native_tcp_count(service, why);
    native_tcp_close_in_order(c);
}

void native_tcp_share_out(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    if (service->live <= service->live_max)
        return;
    native_tcp_execute(service); /* what was asked before is answered; that may end some, too */
    if (c->state != CONNECTION_LIVE || service->live <= service->live_max)
        return;
    struct source source = heaviest_live(service);
    if (holds_more(service, source, c->source)) {
        struct native_host *host = &service->hosts[source.network * SOURCE_HOSTS + source.host];
        end_session(idlest(service, &host->live), COUNTER_native_tcp_made_room);
    } else {
        end_session(c, COUNTER_native_tcp_no_share);
    }
}
