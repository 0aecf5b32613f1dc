/* primary_facts.c - what is known of the replicas, and how far a change has come among them. */
#include "primary_internal.h"

#include <string.h>

#include "wire.h"

unsigned primary_replica_count(const struct primary *primary)
{
    unsigned count = 0;
    for (unsigned i = 0; i < primary->used_count; i++)
        count += session_is_replica(&primary->session[primary->used[i]]);
    return count;
}

/* What it has said to have. */
static uint64_t lsn_of(const struct primary_session *session, bool applied_counts)
{
    const struct replication_ack *ack = &session->ack;
    return applied_counts && ack->applied_lsn > ack->durable_lsn ? ack->applied_lsn : ack->durable_lsn;
}

uint64_t primary_replicated_lsn(const struct primary *primary, unsigned count, bool applied_counts)
{
    uint64_t best[PRIMARY_REPLICAS_MAX]; /* the `count` highest so far, highest first */
    unsigned found = 0;

    if (count == 0)
        return UINT64_MAX;
    if (count > PRIMARY_REPLICAS_MAX)
        return 0;
    for (unsigned i = 0; i < primary->used_count; i++) {
        const struct primary_session *session = &primary->session[primary->used[i]];
        if (!session_is_replica(session))
            continue;
        uint64_t lsn = lsn_of(session, applied_counts);
        if (found == count && lsn <= best[found - 1])
            continue;
        unsigned at = found < count ? found++ : found - 1;
        for (; at > 0 && best[at - 1] < lsn; at--)
            best[at] = best[at - 1];
        best[at] = lsn;
    }
    return found == count ? best[count - 1] : 0;
}

/* All of it on its own disk, as a whole. Whether it serves readers does not matter: that may take an acknowledgement
 * which it takes this member for. */
static bool has_all(const struct primary_session *session)
{
    return session->state == SESSION_STREAMING && session->ack.durable_lsn != 0 &&
           session->ack.durable_lsn >= session->welcome_lsn;
}

unsigned primary_peers(const struct primary *primary, struct members_peer *out, unsigned room)
{
    unsigned written = 0;
    for (unsigned i = 0; i < primary->used_count && written < room; i++) {
        const struct primary_session *session = &primary->session[primary->used[i]];
        const struct replication_hello *hello = &session->hello;
        if (!session_is_replica(session) || (hello->flags & HELLO_HAS_LOG) == 0)
            continue;
        struct members_peer *peer = &out[written++];
        *peer = (struct members_peer){.member = {.node_id = hello->node_id,
                                                 .replication_port = hello->replication_port,
                                                 .client_port = hello->client_port},
                                      .durable_lsn = session->ack.durable_lsn,
                                      .snapshot_lsn = session->snapshot_lsn,
                                      .has_all = has_all(session)};
        memcpy(peer->member.address, session->link.peer_address, sizeof peer->member.address);
        memcpy(peer->member.name, hello->name, sizeof peer->member.name);
    }
    return written;
}

static uint64_t lag_of(const struct primary_session *session, uint64_t mono_ns)
{
    uint64_t from_ns = session->ack.echo_ns == 0 ? session->since_ns : session->outstanding_ns;
    uint64_t waiting_ns = from_ns != 0 && mono_ns > from_ns ? mono_ns - from_ns : 0;
    return waiting_ns > session->lag_ns ? waiting_ns : session->lag_ns;
}

static uint8_t state_of(const struct primary_session *session)
{
    if (session->bootstrap)
        return PRIMARY_REPLICA_BOOTSTRAP;
    return session->state == SESSION_STREAMING ? PRIMARY_REPLICA_STREAMING : PRIMARY_REPLICA_CATCH_UP;
}

unsigned primary_replicas(const struct primary *primary, uint64_t mono_ns, struct primary_replica *out,
                          unsigned room)
{
    unsigned written = 0;
    for (unsigned i = 0; i < primary->used_count && written < room; i++) {
        const struct primary_session *session = &primary->session[primary->used[i]];
        const struct replication_hello *hello = &session->hello;
        if (!session_is_replica(session))
            continue;
        struct primary_replica *replica = &out[written++];
        *replica = (struct primary_replica){.node_id = hello->node_id,
                                            .applied_lsn = session->ack.applied_lsn,
                                            .durable_lsn = session->ack.durable_lsn,
                                            .lag_ns = lag_of(session, mono_ns),
                                            .sent_bytes = session->sent_bytes,
                                            .since_ns = session->since_ns,
                                            .port = session->link.peer_port,
                                            .client_port = hello->client_port,
                                            .state = state_of(session),
                                            .has_log = (hello->flags & HELLO_HAS_LOG) != 0,
                                            .serving = session->ack.state == REPLICA_SERVING};
        memcpy(replica->name, hello->name, sizeof replica->name);
        memcpy(replica->address, session->link.peer_address, sizeof replica->address);
        memcpy(replica->client_address,
               wire_is_zero(hello->client_address, sizeof hello->client_address) ? session->link.peer_address
                                                                                 : hello->client_address,
               sizeof replica->client_address);
    }
    return written;
}
