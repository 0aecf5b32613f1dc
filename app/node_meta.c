#include "node_meta.h"

#define RETRY_NS UINT64_C(500000000)

void node_meta_start(struct node_meta *meta, const struct meta *found)
{
    *meta = (struct node_meta){.now = *found};
}

void node_meta_changed(struct node_meta *meta)
{
    meta->changed = true;
}

bool node_meta_durable(const struct node_meta *meta)
{
    return !meta->changed && !meta->asked;
}

/* What became of what was asked for. */
static bool look(struct node_meta *meta, struct housekeeper *housekeeper, uint64_t mono_ns)
{
    struct housekeeper_facts facts = housekeeper_facts(housekeeper);

    if (facts.metas_written == meta->written && facts.metas_failed == meta->failed)
        return false;
    meta->error = 0;
    if (facts.metas_failed != meta->failed) {
        meta->error = facts.meta_error;
        meta->changed = true;
        meta->retry_ns = mono_ns + RETRY_NS;
    }
    meta->written = facts.metas_written;
    meta->failed = facts.metas_failed;
    meta->asked = false;
    return true;
}

unsigned node_meta_turn(struct node_meta *meta, struct housekeeper *housekeeper, bool adopting,
                        uint64_t mono_ns)
{
    unsigned done = meta->asked && look(meta, housekeeper, mono_ns);

    if (!meta->changed || meta->asked || adopting || mono_ns < meta->retry_ns ||
        !housekeeper_write_meta(housekeeper, &meta->now))
        return done;
    meta->changed = false;
    meta->asked = true;
    return done + 1;
}
