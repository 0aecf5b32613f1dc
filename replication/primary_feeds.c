/*
 * primary_feeds.c - who is fed from disk: as many at once as there are feeds, the others in a line, first come, first
 * served.
 *
 * Nobody keeps a feed for ever while others wait. What of the log is still to be sent can be read again by another feed,
 * from the next block on: after PRIMARY_FEED_NS the session gives its feed up between two blocks, and stands at the end of
 * the line. What it waits for may be removed meanwhile, as that of all who wait. Of a snapshot nothing could be used again,
 * and its replica would have emptied its table for nothing: it is fed to its end, but one feed is left to the log. A link
 * that does not even take what is on its way, of the log in PRIMARY_FEED_STALL_NS, of a snapshot in
 * PRIMARY_SNAPSHOT_STALL_NS, ends the session; the replica comes again, with all blocks that it had whole, or without
 * anything.
 */
#include "primary_internal.h"

#include "check.h"

enum { SNAPSHOTS_FED_MAX = FEEDS_MAX - 1 };

void primary_wait_for_feed(struct primary_session *session)
{
    session->state = SESSION_WAITING;
    session->ticket = ++session->primary->tickets;
}

void primary_end_feed(struct primary_session *session)
{
    if (session->feed != NO_FEED)
        feeder_close(session->primary->config.feeder, session->feed);
    session->feed = NO_FEED;
    session->item = NULL;
    session->fed = 0;
}

/* ---- whose turn it is ---- */

static bool may_be_fed(const struct primary *primary, const struct primary_session *session)
{
    unsigned snapshots = 0;

    if (!session->bootstrap)
        return true;
    for (unsigned i = 0; i < primary->used_count; i++) {
        const struct primary_session *other = &primary->session[primary->used[i]];
        snapshots += other->state == SESSION_FEEDING && other->bootstrap;
    }
    return snapshots < SNAPSHOTS_FED_MAX;
}

bool primary_open_feed(struct primary_session *session)
{
    struct primary *primary = session->primary;
    const struct primary_config *config = &primary->config;

    if (!may_be_fed(primary, session))
        return false;
    int feed = feeder_open(config->feeder, session->bootstrap ? FEED_BOOTSTRAP : FEED_LOG, session->position);
    if (feed < 0)
        return false;
    session->feed = feed;
    session->item = NULL;
    session->fed_ns = primary->now_ns;
    session->state = SESSION_FEEDING;
    primary->one_goes = false;
    replication_count(config->counters, REPLICATION_feeds, 1);
    return true;
}

/* NULL: nobody who may be fed now. */
static struct primary_session *first_in_line(struct primary *primary, bool *anybody)
{
    struct primary_session *first = NULL;

    *anybody = false;
    for (unsigned i = 0; i < primary->used_count; i++) {
        struct primary_session *session = &primary->session[primary->used[i]];
        if (session->state != SESSION_WAITING)
            continue;
        *anybody = true;
        if ((first == NULL || session->ticket < first->ticket) && may_be_fed(primary, session))
            first = session;
    }
    return first;
}

/* ---- whose time is over ---- */

/* The message on its way has its bytes from the feed. */
static bool sends_what_is_fed(const struct primary_session *session)
{
    switch (session->sending) {
    case REPLICATION_BATCH:
    case REPLICATION_SNAPSHOT_BEGIN:
    case REPLICATION_SNAPSHOT_CHUNK:
    case REPLICATION_SNAPSHOT_END:
        return session->item != NULL;
    default:
        return false;
    }
}

static bool is_stuck(const struct primary_session *session)
{
    uint64_t limit_ns = session->bootstrap ? PRIMARY_SNAPSHOT_STALL_NS : PRIMARY_FEED_STALL_NS;
    return sends_what_is_fed(session) && session->primary->now_ns - session->begun_ns >= limit_ns;
}

/* One goes, for the first in line, if there is one that has to; once its feed is taken, perhaps another. */
static unsigned give_one_up(struct primary *primary, bool first)
{
    struct primary_session *longest = NULL;

    for (unsigned i = 0; i < primary->used_count; i++) {
        struct primary_session *session = &primary->session[primary->used[i]];
        if (session->state != SESSION_FEEDING)
            continue;
        if (is_stuck(session)) {
            primary->one_goes = true;
            primary_drop(session, REPLICATION_too_slow);
            return 1;
        }
        if (first && !session->bootstrap && !sends_what_is_fed(session) &&
            primary->now_ns - session->fed_ns >= PRIMARY_FEED_NS &&
            (longest == NULL || session->fed_ns < longest->fed_ns))
            longest = session;
    }
    if (longest == NULL)
        return 0;
    primary->one_goes = true;
    primary_end_feed(longest);
    primary_wait_for_feed(longest);
    return 1;
}

unsigned primary_open_feeds(struct primary *primary)
{
    struct primary_session *first;
    unsigned done = 0;
    bool anybody;

    while ((first = first_in_line(primary, &anybody)) != NULL && primary_open_feed(first))
        done++;
    if (!anybody)
        primary->one_goes = false;
    else if (!primary->one_goes)
        done += give_one_up(primary, first != NULL);
    return done;
}
