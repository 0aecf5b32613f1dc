#include "journal_state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "load_values.h"

enum { LINE_BYTES_MAX = JOURNAL_LINE_BYTES + sizeof(JOURNAL_CUT) };

static const char no_journal[] = "no journal: it does not begin with \"" JOURNAL_HEAD "\"";

/* ---- keys by number: open addressing, at most half full ---- */

static uint32_t slot_of(const struct journal_state *state, uint64_t number)
{
    uint64_t seed = number;
    uint32_t slot = (uint32_t)load_random(&seed) & state->slot_mask;
    while (state->slots[slot] != JOURNAL_NONE && state->keys[state->slots[slot]].number != number)
        slot = (slot + 1) & state->slot_mask;
    return slot;
}

static bool keys_grow(struct journal_state *state)
{
    uint32_t room = state->keys_room == 0 ? 1024 : 2 * state->keys_room;
    struct journal_key *keys =
        room > JOURNAL_NONE / 4 ? NULL : reallocarray(state->keys, room, sizeof(*keys));
    if (keys == NULL)
        return false;
    state->keys = keys;
    uint32_t *slots = reallocarray(state->slots, (size_t)2 * room, sizeof(*slots));
    if (slots == NULL)
        return false;
    state->slots = slots;
    state->keys_room = room;
    state->slot_mask = 2 * room - 1;
    memset(slots, 0xff, (size_t)2 * room * sizeof(*slots)); /* JOURNAL_NONE */
    for (uint32_t i = 0; i < state->key_count; i++)
        slots[slot_of(state, keys[i].number)] = i;
    return true;
}

/* NULL: memory is short. */
static struct journal_key *key_get(struct journal_state *state, uint64_t number)
{
    if (state->key_count == state->keys_room && !keys_grow(state))
        return NULL;
    uint32_t slot = slot_of(state, number);
    if (state->slots[slot] == JOURNAL_NONE) {
        state->keys[state->key_count] = (struct journal_key){.number = number, .unanswered = JOURNAL_NONE};
        state->slots[slot] = state->key_count++;
    }
    return &state->keys[state->slots[slot]];
}

/* ---- lines to states ---- */

static bool keep_unanswered(struct journal_state *state, struct journal_key *key)
{
    if (state->write_count == state->writes_room) {
        uint32_t room = state->writes_room == 0 ? 1024 : 2 * state->writes_room;
        struct journal_write *writes =
            room > JOURNAL_NONE / 2 ? NULL : reallocarray(state->writes, room, sizeof(*writes));
        if (writes == NULL)
            return false;
        state->writes = writes;
        state->writes_room = room;
    }
    key->pending.next = key->unanswered;
    key->unanswered = state->write_count;
    key->any_pending = false;
    state->writes[state->write_count++] = key->pending;
    return true;
}

static void acknowledge(struct journal_state *state, struct journal_key *key, const struct journal_line *line)
{
    key->acknowledged = key->pending;
    key->acknowledged.lsn = line->lsn;
    key->acknowledged.expired_by = line->expiry_ms;
    key->any_acknowledged = true;
    key->any_pending = false;
    if (line->lsn > key->highest_lsn)
        key->highest_lsn = line->lsn;
    for (uint32_t i = key->unanswered; i != JOURNAL_NONE; i = state->writes[i].next) {
        if (state->writes[i].older)
            break; /* and so are those before it */
        state->writes[i].older = true;
    }
}

/* NULL, or what is wrong with the line. */
static const char *take_line(struct journal_state *state, const struct journal_line *line)
{
    static const char no_memory[] = "memory is short";
    struct journal_key *key = key_get(state, line->key);
    if (key == NULL)
        return no_memory;
    if (line->event == JOURNAL_SET || line->event == JOURNAL_DELETE) {
        /* an earlier one without an outcome: its load test was killed */
        if (key->any_pending && !keep_unanswered(state, key))
            return no_memory;
        key->pending = (struct journal_write){.removes = line->event == JOURNAL_DELETE,
                                              .run = line->run,
                                              .version = line->version,
                                              .bytes = line->bytes,
                                              .expires_after = line->expiry_ms};
        key->any_pending = true;
        return NULL;
    }
    if (!key->any_pending || key->pending.run != line->run || key->pending.version != line->version)
        return "an outcome without its write";
    if (line->event == JOURNAL_UNANSWERED)
        return keep_unanswered(state, key) ? NULL : no_memory;
    if (line->event == JOURNAL_OK)
        acknowledge(state, key, line);
    key->any_pending = false;
    return NULL;
}

static bool is_cut(const char *text, size_t length)
{
    size_t cut = strlen(JOURNAL_CUT);
    return length >= cut && memcmp(text + length - cut, JOURNAL_CUT, cut) == 0;
}

static const char *read_line(struct journal_state *state, char *text, size_t length)
{
    struct journal_line line;
    bool is_text = strlen(text) == length;
    if (state->lines == 1)
        return is_text && strcmp(text, JOURNAL_HEAD) == 0 ? NULL : no_journal;
    if (length < LINE_BYTES_MAX - 1 && is_cut(text, length))
        return NULL;
    return is_text && journal_line_read(&line, text) ? take_line(state, &line) : "not a line of a journal";
}

/* A line without its newline, terminated; its length, or -1: the file ended before the line did. What is
 * longer than any line is cut there, so that a file without lines is not read to its end. */
static ssize_t next_line(char out[LINE_BYTES_MAX], FILE *file)
{
    size_t length = 0;
    int c;
    while ((c = getc_unlocked(file)) != EOF && c != '\n' && length < LINE_BYTES_MAX - 1)
        out[length++] = (char)c;
    out[length] = '\0';
    return c == EOF ? -1 : (ssize_t)length;
}

bool journal_state_read(struct journal_state *state, FILE *file, char error[JOURNAL_ERROR_BYTES])
{
    char text[LINE_BYTES_MAX];
    ssize_t length;
    const char *wrong = NULL;
    *state = (struct journal_state){0};
    while (wrong == NULL && (length = next_line(text, file)) >= 0) {
        state->lines++;
        wrong = read_line(state, text, (size_t)length);
    }
    if (wrong == NULL && ferror(file))
        wrong = strerror(errno);
    if (wrong == NULL && state->lines == 0)
        wrong = no_journal;
    for (uint32_t i = 0; wrong == NULL && i < state->key_count; i++)
        if (state->keys[i].any_pending && !keep_unanswered(state, &state->keys[i]))
            wrong = "memory is short";
    if (wrong != NULL) {
        snprintf(error, JOURNAL_ERROR_BYTES, "line %" PRIu64 ": %s", state->lines > 0 ? state->lines : 1,
                 wrong);
        journal_state_free(state);
    }
    return wrong == NULL;
}

void journal_state_free(struct journal_state *state)
{
    free(state->keys);
    free(state->writes);
    free(state->slots);
    *state = (struct journal_state){0};
}

/* ---- the verdict ---- */

static bool may_be_gone(const struct journal_write *write, uint64_t now_ms)
{
    return write->removes ||
           (write->expires_after != 0 && now_ms + JOURNAL_CLOCKS_APART_MS >= write->expires_after);
}

static bool must_be_gone(const struct journal_write *write, uint64_t now_ms)
{
    return write->removes || (write->expired_by != 0 && now_ms > write->expired_by &&
                              now_ms - write->expired_by > JOURNAL_CLOCKS_APART_MS);
}

static bool explains(const struct journal_write *write, uint64_t number, const struct journal_found *found)
{
    return !write->removes &&
           load_value_is(found->value, found->length, write->bytes, number, write->version, write->run);
}

static enum journal_verdict judge_absent(const struct journal_state *state, const struct journal_key *key,
                                         const struct journal_found *found)
{
    if (may_be_gone(&key->acknowledged, found->answer_ms))
        return JOURNAL_FINE;
    for (uint32_t i = key->unanswered; i != JOURNAL_NONE && !state->writes[i].older;
         i = state->writes[i].next)
        if (may_be_gone(&state->writes[i], found->answer_ms))
            return JOURNAL_FINE;
    return JOURNAL_LOST;
}

enum journal_verdict journal_judge(const struct journal_state *state, const struct journal_key *key,
                                   const struct journal_found *found)
{
    const struct journal_write *last = &key->acknowledged;
    if (!key->any_acknowledged)
        return JOURNAL_FINE; /* what it held before is not known */
    if (found->absent)
        return judge_absent(state, key, found);
    if (found->version == last->lsn)
        return explains(last, key->number, found) && !must_be_gone(last, found->asked_ms) ? JOURNAL_FINE
                                                                                          : JOURNAL_WRONG;
    if (found->version <= key->highest_lsn)
        return JOURNAL_LOST;
    if (explains(last, key->number, found))
        return JOURNAL_FINE; /* sent again over a new session, and executed twice */
    for (uint32_t i = key->unanswered; i != JOURNAL_NONE; i = state->writes[i].next)
        if (explains(&state->writes[i], key->number, found))
            return JOURNAL_FINE;
    return JOURNAL_WRONG;
}
