#include <stdlib.h>
#include <string.h>

#include "cluster.h"
#include "linear.h"

/* ---- values ---- */

static struct known_value *find_value(const struct cluster *c, unsigned key, uint64_t value)
{
    for (unsigned i = c->known_count[key]; i-- > 0;)
        if (c->known[key][i].value == value)
            return &c->known[key][i];
    return NULL;
}

void journal_note(struct cluster *c, unsigned key, uint64_t value)
{
    if (c->known_count[key] == c->known_room[key]) {
        c->known_room[key] = c->known_room[key] == 0 ? 64 : 2 * c->known_room[key];
        c->known[key] = realloc(c->known[key], c->known_room[key] * sizeof c->known[key][0]);
        must(c, c->known[key] != NULL, "no memory");
    }
    c->known[key][c->known_count[key]++] = (struct known_value){.value = value, .seen = LINEAR_NEVER};
}

/* Who was told that a value has a version, is told the same for ever. */
static struct known_value *know(struct cluster *c, const struct call *call)
{
    struct known_value *known = find_value(c, call->key, call->value);

    must(c, known != NULL, "node %u shows %llu of key%u, which nobody has set", call->node,
         (unsigned long long)call->value, call->key);
    must(c, known->version == 0 || known->version == call->version,
         "%llu of key%u has version %llu at node %u, and had %llu", (unsigned long long)call->value,
         call->key, (unsigned long long)call->version, call->node, (unsigned long long)known->version);
    known->version = call->version;
    return known;
}

/* ---- one call ---- */

/*
 * It did not ask a follower, nor a leader after whom another led by then. An old leader that may go on beside
 * the new one (not strict) counts no more from the moment on in which that one leads.
 */
static bool leads(const struct cluster *c, const struct call *call)
{
    const struct line *line = watch_line(c, call->history);

    if (line == NULL || line->node != call->node || line->began > call->invoked)
        return false;
    for (const struct line *later = line + 1; later < &c->line[c->lines]; later++)
        if (later->began <= (c->strict ? call->invoked : call->returned))
            return false;
    return true;
}

/* Whether a removal may have come after what had that version. */
static bool was_removed_after(const struct cluster *c, unsigned key, uint64_t version, uint64_t until)
{
    for (unsigned i = 0; i < c->calls; i++) {
        const struct call *call = &c->call[i];

        if (call->kind == CALL_DELETE && call->key == key && call->invoked <= until &&
            call->end != CALL_REFUSED &&
            (call->end != CALL_ANSWERED || (call->status == STATUS_OK && call->version >= version)))
            return true;
    }
    return false;
}

static void read_ended(struct cluster *c, struct call *call)
{
    struct node_watch *watch = &c->watch[call->node];

    if (call->end == CALL_REFUSED) {
        c->counts.stale += call->status == STATUS_STALE;
        c->counts.lost += call->status == STATUS_LOST;
        must(c, call->status != STATUS_LOST || !c->strict, "node %u calls LSN %llu lost, and nothing may be",
             call->node, (unsigned long long)call->asked);
    }
    if (call->end != CALL_ANSWERED)
        return;
    if (call->status == STATUS_NOT_FOUND) {
        must(c, call->asked == 0 || was_removed_after(c, call->key, call->asked, call->returned),
             "node %u finds no key%u, asked from LSN %llu on", call->node, call->key,
             (unsigned long long)call->asked);
        return;
    }
    must(c, call->version >= call->asked, "node %u shows key%u as of %llu, asked from %llu on", call->node,
         call->key, (unsigned long long)call->version, (unsigned long long)call->asked);
    struct known_value *known = know(c, call);
    if (call->returned < known->seen)
        known->seen = call->returned;
    if (c->strict) {
        must(c, call->version >= watch->shown[call->key], "node %u shows version %llu of key%u, after %llu",
             call->node, (unsigned long long)call->version, call->key,
             (unsigned long long)watch->shown[call->key]);
        watch->shown[call->key] = call->version;
    }
}

void journal_ended(struct cluster *c, struct call *call)
{
    c->counts.unknown += call->end == CALL_UNKNOWN;
    c->counts.refused += call->end == CALL_REFUSED;
    if (call->kind == CALL_GET)
        read_ended(c, call);
    else if (call->end == CALL_ANSWERED && call->status == STATUS_OK && call->value != 0 &&
             call->kind < CALL_DELETE)
        know(c, call);
}

/* ---- all calls of a key ---- */

/* By when a write has happened, if it has: a follower's reader may have seen it before its own client was
 * told. */
static uint64_t first_seen(const struct cluster *c, const struct call *call)
{
    uint64_t told = call->end == CALL_ANSWERED ? call->returned : LINEAR_NEVER;
    const struct known_value *known =
        c->strict && call->value != 0 ? find_value(c, call->key, call->value) : NULL;

    return known != NULL && known->seen < told ? known->seen : told;
}

/* Whether it belongs to that stretch, and what the register must have been for it. */
static bool as_linear(const struct cluster *c, const struct call *call, unsigned stretch,
                      struct linear_call *out)
{
    const struct line *line = watch_line(c, call->history);
    bool answered = call->end == CALL_ANSWERED && (c->strict || leads(c, call)),
         done = answered && call->status == STATUS_OK;

    *out = (struct linear_call){.invoked = call->invoked, .returned = call->returned, .value = call->value};
    if (call->kind == CALL_GET) {
        out->need = LINEAR_IS;
        out->expected = call->value;
        return answered && leads(c, call) && line->stretch == stretch;
    }
    if (call->end == CALL_REFUSED || (!answered && call->end == CALL_ANSWERED && call->status != STATUS_OK))
        return false;
    out->sets = true;
    out->returned = answered || c->strict ? first_seen(c, call) : LINEAR_NEVER;
    if (!answered) {
        out->optional = out->returned == LINEAR_NEVER;
        out->need = call->kind == CALL_ADD || call->kind == CALL_CHANGE ? LINEAR_IS : LINEAR_ANY;
        out->expected = call->expected;
        return true;
    }
    if (line == NULL || line->stretch != stretch)
        return false;
    out->sets = done;
    if (!done && !leads(c, call))
        return false;
    switch (call->kind) {
    case CALL_DELETE: /* or it finds none */
        out->need = done ? LINEAR_IS_NOT : LINEAR_IS;
        break;
    case CALL_ADD:
        out->need = done ? LINEAR_IS : LINEAR_IS_NOT;
        break;
    case CALL_CHANGE: /* none; another version */
        out->need = done || call->status == STATUS_NOT_FOUND ? LINEAR_IS : LINEAR_IS_NOT;
        out->expected = call->status == STATUS_NOT_FOUND ? 0 : call->expected;
        break;
    default:
        break;
    }
    return true;
}

static void print_key(const struct cluster *c, unsigned key)
{
    static const char *const kinds[] = {"GET", "SET", "ADD", "CHANGE", "DELETE"};

    for (unsigned i = 0; i < c->calls; i++) {
        const struct call *call = &c->call[i];

        if (call->kind <= CALL_DELETE && call->key == key && call->end != CALL_REFUSED)
            fprintf(stderr, "%8llu..%-8llu client %u node %u %s %llu: %s, version %llu, history %llx%s\n",
                    (unsigned long long)call->invoked, (unsigned long long)call->returned, call->client,
                    call->node, kinds[call->kind], (unsigned long long)call->value,
                    call->end == CALL_ANSWERED ? status_name(call->status) : "not known",
                    (unsigned long long)call->version, (unsigned long long)call->history,
                    call->kind == CALL_GET && !leads(c, call) ? " (a follower's)" : "");
    }
}

static void check_key(struct cluster *c, unsigned key, unsigned stretch)
{
    static struct linear_call calls[LINEAR_CALLS_MAX + 1];
    uint64_t *initial = calloc(c->known_count[key] + 1, sizeof initial[0]);
    unsigned count = 0, initials = 1;
    enum linear_verdict verdict;

    must(c, initial != NULL, "no memory");
    for (unsigned i = 0; i < c->known_count[key] && stretch > 0;
         i++) /* after a loss: any that there ever was */
        initial[initials++] = c->known[key][i].value;
    for (unsigned i = 0; i < c->calls && count <= LINEAR_CALLS_MAX; i++)
        if (c->call[i].kind <= CALL_DELETE && c->call[i].key == key &&
            as_linear(c, &c->call[i], stretch, &calls[count]))
            count++;
    verdict = linear_check(calls, count, initial, initials);
    free(initial);
    c->counts.judged += count;
    if (verdict == LINEAR_YES)
        return;
    print_key(c, key);
    fail(c,
         verdict == LINEAR_NO ? "what clients saw of key%u cannot have been (stretch %u)"
                              : "key%u has too many calls to judge (stretch %u)",
         key, stretch);
}

/* Writes of a key that came one after the other have versions that rise. */
static void check_versions(struct cluster *c, const struct call *call)
{
    if (call->kind == CALL_GET || call->kind > CALL_DELETE || call->end != CALL_ANSWERED ||
        call->status != STATUS_OK)
        return;
    for (const struct call *other = c->call; other < call; other++) {
        if (other->kind == CALL_GET || other->kind > CALL_DELETE || other->key != call->key ||
            other->end != CALL_ANSWERED || other->status != STATUS_OK ||
            (!c->strict && other->history != call->history))
            continue;
        must(c, other->version != call->version, "two writes of key%u have version %llu", call->key,
             (unsigned long long)call->version);
        must(c, other->returned >= call->invoked || other->version < call->version,
             "a write of key%u has version %llu, after one of %llu", call->key,
             (unsigned long long)call->version, (unsigned long long)other->version);
    }
}

/* ---- counters ---- */

static void check_counter(struct cluster *c, unsigned counter, uint64_t value)
{
    uint64_t acknowledged = 0, unknown = 0;

    for (unsigned i = 0; i < c->calls; i++) {
        const struct call *call = &c->call[i];

        if (call->kind != CALL_INCR || call->key != counter)
            continue;
        unknown += call->end == CALL_UNKNOWN;
        if (call->end != CALL_ANSWERED)
            continue;
        acknowledged++;
        for (unsigned j = 0; j < i; j++) {
            const struct call *other = &c->call[j];

            if (other->kind != CALL_INCR || other->key != counter || other->end != CALL_ANSWERED ||
                (!c->strict && other->history != call->history))
                continue;
            must(c, other->value != call->value, "two INCRs of counter%u gave %llu", counter,
                 (unsigned long long)call->value);
            must(c, other->returned >= call->invoked || other->value < call->value,
                 "an INCR of counter%u gave %llu after one had given %llu", counter,
                 (unsigned long long)call->value, (unsigned long long)other->value);
        }
    }
    must(c, value <= acknowledged + unknown && (!c->strict || value >= acknowledged),
         "counter%u is %llu: %llu were acknowledged, %llu not answered", counter, (unsigned long long)value,
         (unsigned long long)acknowledged, (unsigned long long)unknown);
}

void journal_check(struct cluster *c, const uint64_t counter[COUNTERS])
{
    unsigned stretches = c->lines > 0 ? c->line[c->lines - 1].stretch + 1 : 0;

    for (unsigned key = 0; key < KEYS; key++)
        for (unsigned stretch = 0; stretch < stretches; stretch++)
            check_key(c, key, stretch);
    for (unsigned i = 0; i < c->calls; i++)
        check_versions(c, &c->call[i]);
    for (unsigned i = 0; i < COUNTERS; i++)
        check_counter(c, i, counter[i]);
}
