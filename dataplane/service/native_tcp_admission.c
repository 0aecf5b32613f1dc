/* native_tcp_admission.c - places for newcomers: who is not confirmed yet, by source, and who of them makes room. */
#include "service/native_tcp_internal.h"

#include <rte_common.h>

/* Places that are kept free, so that a newcomer has one before the `closed` of whoever made room has come. */
enum { PLACES_SPARE = 64 };

static struct native_host *host_of(const struct native_connection *c)
{
    return &c->service->hosts[c->source.network * SOURCE_HOSTS + c->source.host];
}

void native_tcp_list(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    struct native_host *host = host_of(c);
    int32_t place = native_tcp_place(c);
    if (!c->unconfirmed)
        service->unconfirmed++;
    c->unconfirmed = c->listed = true;
    c->next = NOBODY;
    c->previous = host->unconfirmed > 0 ? host->newest : NOBODY;
    if (host->unconfirmed > 0)
        service->connections[host->newest].next = place;
    else
        host->oldest = place;
    host->newest = place;
    host->unconfirmed++;
    service->networks[c->source.network]++;
}

void native_tcp_delist(struct native_connection *c)
{
    struct native_tcp *service = c->service;
    struct native_host *host = host_of(c);
    if (!c->listed)
        return;
    c->listed = false;
    if (c->previous == NOBODY)
        host->oldest = c->next;
    else
        service->connections[c->previous].next = c->next;
    if (c->next == NOBODY)
        host->newest = c->previous;
    else
        service->connections[c->next].previous = c->previous;
    host->unconfirmed--;
    service->networks[c->source.network]--;
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
        held[i] = hosts[i].unconfirmed;
    source.host = source_heaviest(held, from);
    struct native_connection *c = &service->connections[hosts[source.host].oldest];
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
