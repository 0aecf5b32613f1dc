#include "tcp/tcp_sources.h"

#include "check.h"

int tcp_sources_init(struct tcp_sources *sources, uint32_t connections_max, uint32_t each_max,
                     const struct siphash_key *key, int numa_node)
{
    *sources = (struct tcp_sources){.each_max = each_max};
    return each_max == 0 ? 0 : tcp_demux_init(&sources->counts, connections_max, key, numa_node);
}

void tcp_sources_fini(struct tcp_sources *sources)
{
    if (sources->each_max != 0)
        tcp_demux_fini(&sources->counts);
}

static uint32_t source_hash(const struct tcp_sources *sources, const struct address *source)
{
    static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    bool ip4 = memcmp(source->bytes, mapped, sizeof mapped) == 0;
    return (uint32_t)siphash13(&sources->counts.hash_start, source->bytes, ip4 ? 16 : 8);
}

static uint32_t source_count(const struct tcp_sources *sources, uint32_t hash)
{
    uint32_t at = 0, count = tcp_demux_find(&sources->counts, hash, &at);
    return count == TCP_DEMUX_NONE ? 0 : count;
}

bool tcp_source_full(const struct tcp_sources *sources, const struct address *source)
{
    return sources->each_max != 0 && source_count(sources, source_hash(sources, source)) >= sources->each_max;
}

bool tcp_source_take(struct tcp_sources *sources, const struct address *source)
{
    if (sources->each_max == 0)
        return true;
    uint32_t hash = source_hash(sources, source), count = source_count(sources, hash);
    if (count >= sources->each_max)
        return false;
    if (count == 0)
        tcp_demux_add(&sources->counts, hash, 1);
    else
        tcp_demux_replace(&sources->counts, hash, count, count + 1);
    return true;
}

void tcp_source_give_back(struct tcp_sources *sources, const struct address *source)
{
    if (sources->each_max == 0)
        return;
    uint32_t hash = source_hash(sources, source), count = source_count(sources, hash);
    CHECK(count > 0);
    if (count == 1)
        tcp_demux_remove(&sources->counts, hash, 1);
    else
        tcp_demux_replace(&sources->counts, hash, count, count - 1);
}
