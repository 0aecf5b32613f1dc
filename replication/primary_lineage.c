/*
 * primary_lineage.c - who may follow: a replica's HELLO against the histories of our log.
 *
 * Who has nothing but changes on our line (lineage.h) may go on from its last; who has one beyond can only begin anew.
 */
#include "primary_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "epoch.h"
#include "lineage.h"
#include "wire.h"

uint64_t primary_reach(const struct meta *meta, uint64_t lsn)
{
    for (unsigned i = 0; i < meta->count; i++)
        if (lsn >= meta->history[i].before_lsn && lsn < meta->history[i].first_lsn)
            lsn = meta->history[i].first_lsn - 1;
    return lsn;
}

static int history_with_id(const struct meta *meta, uint64_t id)
{
    for (unsigned i = meta->count; i-- > 0;)
        if (meta->history[i].id == id)
            return (int)i;
    return -1;
}

/* Whether (history, lsn) is a place on our line; if not, why, for the operator. */
static bool is_on_line(const struct primary *primary, const struct replication_hello *hello, char *why,
                       size_t why_bytes)
{
    const struct meta *meta = primary->config.meta;
    int at = history_with_id(meta, hello->history);
    if (at < 0) {
        snprintf(why, why_bytes, "history %016" PRIx64 " is not one of ours, or too old to be remembered",
                 hello->history);
        return false;
    }
    const struct history *history = &meta->history[at];
    /* What was durable once was sent, and stays on our line: also where the node counts on less now, for the log's folder is
     * gone. Who has it may then be the only one who does, and must not be made to give it up. */
    uint64_t lsn = hello->lsn, end = lineage_end(meta, (unsigned)at, primary->told_durable_lsn);
    /* The history's first mark is all that it has of it: what it holds ends where the log before ended. */
    if (lsn == history->first_lsn - 1)
        lsn = history->before_lsn;
    if (lsn < history->first_lsn && lsn != history->before_lsn) {
        snprintf(why, why_bytes, "LSN %" PRIu64 " is none of history %016" PRIx64, lsn, hello->history);
        return false;
    }
    if (lsn > end) {
        snprintf(why, why_bytes, "history %016" PRIx64 " ends here at LSN %" PRIu64 ", there at %" PRIu64,
                 hello->history, end, lsn);
        return false;
    }
    return true;
}

void primary_refuse(struct verdict *out, enum refuse_reason reason, const char *format, ...)
{
    va_list arguments;
    out->refuse = reason;
    va_start(arguments, format);
    vsnprintf(out->text, sizeof out->text, format, arguments);
    va_end(arguments);
}

/* Its first half, for a line. */
static const char *cluster_text(char out[17], const uint8_t id[CLUSTER_ID_BYTES])
{
    for (unsigned i = 0; i < 8; i++)
        snprintf(out + 2 * i, 3, "%02x", id[i]);
    return out;
}

void primary_refuse_foreign(struct verdict *out, const uint8_t ours[CLUSTER_ID_BYTES],
                            const uint8_t theirs[CLUSTER_ID_BYTES])
{
    char here[17], there[17];
    primary_refuse(out, REFUSE_FOREIGN_CLUSTER, "cluster %s... here, %s... there", cluster_text(here, ours),
                   cluster_text(there, theirs));
}

void primary_judge(const struct primary *primary, const struct replication_hello *hello, struct verdict *out)
{
    const struct meta *meta = primary->config.meta;
    uint32_t epoch = meta->history[meta->count - 1].epoch;
    bool has_data = (hello->flags & HELLO_HAS_DATA) != 0;
    bool is_ours = memcmp(hello->cluster_id, meta->cluster_id, CLUSTER_ID_BYTES) == 0;
    char why[REPLICATION_TEXT_BYTES];

    *out = (struct verdict){.start = WELCOME_RESUME};
    if (hello->version != REPLICATION_VERSION)
        primary_refuse(out, REFUSE_VERSION, "version %u here, %u there", (unsigned)REPLICATION_VERSION,
                       hello->version);
    else if (hello->node_id == meta->node_id)
        primary_refuse(out, REFUSE_SAME_NODE, "node id %016" PRIx64 " is the primary's own", hello->node_id);
    else if (!is_ours && (has_data || !wire_is_zero(hello->cluster_id, CLUSTER_ID_BYTES)))
        primary_refuse_foreign(out, meta->cluster_id, hello->cluster_id);
    else if (hello->epoch >
             epoch) /* somebody was promoted after us: nobody should have what we write from now on */
        primary_refuse(out, REFUSE_STALE_EPOCH, "epoch %" PRIu32 " here, %" PRIu32 " there", epoch,
                       hello->epoch);
    else if (hello->capacity < primary->config.capacity)
        primary_refuse(out, REFUSE_CAPACITY, "%" PRIu64 " items here, %" PRIu64 " there",
                       primary->config.capacity, hello->capacity);
    else if (!has_data || (hello->flags & HELLO_BOOTSTRAP) != 0)
        out->start = WELCOME_BOOTSTRAP;
    else if (!is_on_line(primary, hello, why, sizeof why))
        /* Who knows our epoch was welcomed by us, or by another that took the same one: from a copy of our folder,
         * say. Which of the two is to be given up is not for us to decide. A promotion's epoch is known by those who
         * have promised it, too, and to one node alone; a replica that has followed another in it turns us down. */
        primary_refuse(out,
                       hello->epoch == epoch && epoch != epoch_of_promotion(epoch - 1) ? REFUSE_RIVAL
                                                                                       : REFUSE_DIVERGED,
                       "%s", why);
    else if (hello->lsn < primary->log_from_lsn)
        out->start = WELCOME_BOOTSTRAP; /* what it lacks is in no segment any more */
    if (out->refuse == 0 && out->start == WELCOME_BOOTSTRAP && primary->log.folder_gone)
        primary_refuse(out, REFUSE_NOT_READY, "the folder of its log is gone, and a snapshot with it");
}
