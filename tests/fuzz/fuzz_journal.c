/*
 * fuzz_journal.c - the journal that a load test keeps and `verify` believes.
 *
 * The first byte says how the rest is taken: as text, or as a program that writes lines (with its own idea of
 * which of them are right), cut off anywhere. What is not a journal is refused in one line and leaves
 * nothing; what is one gives a state that hangs together, and verdicts that follow from it. Right lines are
 * read, whole or cut.
 */
#include <string.h>

#include "fuzz.h"
#include "journal_state.h"
#include "load_values.h"
#include "wild.h"

enum { TEXT_MAX = 64 * 1024, KEYS = 4, LINES_MAX = 400, HOW_TEXT = 1, HOW_HEAD = 2, HOW_CUT = 4 };

struct text {
    char bytes[TEXT_MAX];
    size_t length;
    bool wrong; /* a line is in it that is out of place */
};

static void put(struct text *text, const void *bytes, size_t length)
{
    if (length > TEXT_MAX - text->length)
        length = TEXT_MAX - text->length;
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
}

/* ---- lines by program ---- */

static uint64_t any_number(struct fuzz_input *input)
{
    unsigned how = fuzz_u8(input);
    return how & 1 ? how >> 1 : how & 2 ? UINT64_MAX - (how >> 2) : fuzz_u64(input);
}

static void put_line(struct text *text, const struct journal_line *line)
{
    char out[JOURNAL_LINE_BYTES];
    struct journal_line again;
    size_t length = journal_line_write(out, line);
    MUST(length == strlen(out) && length < JOURNAL_LINE_BYTES && out[length - 1] == '\n');
    put(text, out, length);
    out[length - 1] = '\0';
    MUST(journal_line_read(&again, out));
    MUST(again.event == line->event && again.key == line->key && again.run == line->run &&
         again.version == line->version);
    MUST(line->event != JOURNAL_SET || (again.bytes == line->bytes && again.expiry_ms == line->expiry_ms));
    MUST(line->event != JOURNAL_OK || (again.lsn == line->lsn && again.expiry_ms == line->expiry_ms));
}

static void put_lines(struct text *text, struct fuzz_input *input)
{
    struct journal_line sent[KEYS] = {0};
    bool pending[KEYS] = {false};
    for (unsigned i = 0; i < LINES_MAX && fuzz_left(input) > 0; i++) {
        unsigned what = fuzz_u8(input), key = what >> 4 & (KEYS - 1);
        struct journal_line line = sent[key];
        line.event = (enum journal_event)(what % (JOURNAL_REFUSED + 1));
        line.key = key * UINT64_C(33333333333);
        if (line.event == JOURNAL_SET || line.event == JOURNAL_DELETE) {
            line.version++;
            line.run = what & 128 ? fuzz_u8(input) : line.run;
            line.bytes = fuzz_u16(input) % (WILD_VALUE_MAX + 1);
            pending[key] = true;
            sent[key] = line;
        } else {
            if (what & 128)
                line.version += fuzz_u8(input);
            text->wrong |= !pending[key] || line.version != sent[key].version;
            pending[key] = false;
        }
        line.lsn = any_number(input);
        line.expiry_ms = any_number(input);
        put_line(text, &line);
    }
}

/* ---- what must hold ---- */

static enum journal_verdict judge(const struct journal_state *state, const struct journal_key *key,
                                  const struct journal_write *holds, uint64_t version, uint64_t now_ms)
{
    static uint8_t bytes[WILD_VALUE_MAX];
    struct journal_found found = {
        .absent = holds == NULL, .version = version, .asked_ms = now_ms, .answer_ms = now_ms};
    if (holds != NULL) {
        load_value_fill(bytes, holds->bytes, key->number, holds->version, holds->run);
        found.value = bytes;
        found.length = holds->bytes;
    }
    enum journal_verdict verdict = journal_judge(state, key, &found);
    MUST(verdict >= JOURNAL_FINE && verdict <= JOURNAL_WRONG);
    return verdict;
}

static void check_verdicts(const struct journal_state *state, const struct journal_key *key, uint64_t now_ms)
{
    const struct journal_write *last = &key->acknowledged;
    bool may_expire = last->expires_after != 0;
    if (!key->any_acknowledged)
        return;
    if (last->removes)
        MUST(judge(state, key, NULL, 0, now_ms) == JOURNAL_FINE);
    else if (last->expired_by == 0 || now_ms <= last->expired_by)
        MUST(judge(state, key, last, last->lsn, now_ms) == JOURNAL_FINE);
    if (!last->removes && !may_expire && key->unanswered == JOURNAL_NONE)
        MUST(judge(state, key, NULL, 0, now_ms) == JOURNAL_LOST);
    if (key->highest_lsn > last->lsn)
        MUST(judge(state, key, last, key->highest_lsn, now_ms) == JOURNAL_LOST);
    for (uint32_t i = key->unanswered; i != JOURNAL_NONE && key->highest_lsn < UINT64_MAX;
         i = state->writes[i].next)
        if (!state->writes[i].removes)
            MUST(judge(state, key, &state->writes[i], key->highest_lsn + 1, now_ms) == JOURNAL_FINE);
}

static void check_state(const struct journal_state *state, uint64_t now_ms)
{
    uint32_t in_chains = 0;
    MUST(state->lines >= 1 && state->key_count <= state->lines && state->write_count <= state->lines);
    for (uint32_t i = 0; i < state->key_count; i++) {
        const struct journal_key *key = &state->keys[i];
        bool older = false;
        for (uint32_t j = 0; j < i && j < 64; j++)
            MUST(state->keys[j].number != key->number);
        MUST(!key->any_pending && key->acknowledged.lsn <= key->highest_lsn);
        for (uint32_t at = key->unanswered; at != JOURNAL_NONE; at = state->writes[at].next) {
            MUST(at < state->write_count && ++in_chains <= state->write_count);
            MUST(state->writes[at].older || !older); /* newest first */
            older = state->writes[at].older;
            MUST(state->writes[at].bytes <= WILD_VALUE_MAX);
        }
        check_verdicts(state, key, now_ms);
    }
    MUST(in_chains == state->write_count);
}

/* Whether it is a journal. */
static bool read_text(const char *bytes, size_t length, uint64_t now_ms)
{
    static const struct journal_state nothing;
    struct journal_state state;
    char error[JOURNAL_ERROR_BYTES] = "";
    FILE *file = length > 0 ? fmemopen((void *)bytes, length, "r") : fopen("/dev/null", "r");
    MUST(file != NULL);
    bool read = journal_state_read(&state, file, error);
    fclose(file);
    if (read) {
        check_state(&state, now_ms);
        journal_state_free(&state);
    } else {
        MUST(strncmp(error, "line ", 5) == 0 && strchr(error, '\n') == NULL);
    }
    MUST(memcmp(&state, &nothing, sizeof state) == 0);
    return read;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = JOURNAL_HEAD "\n";
    static struct text text;
    struct fuzz_input input = {data, data + size};
    unsigned how = fuzz_u8(&input), cut = how & HOW_CUT ? fuzz_u16(&input) : 0;
    uint64_t now_ms = any_number(&input);
    text.length = 0;
    text.wrong = false;
    if (!(how & HOW_TEXT) || how & HOW_HEAD)
        put(&text, head, strlen(head));
    if (how & HOW_TEXT)
        put(&text, input.at, fuzz_left(&input));
    else
        put_lines(&text, &input);
    bool read = read_text(text.bytes, text.length, now_ms);
    if (!(how & HOW_TEXT))
        MUST(read == !text.wrong);
    /* A load test that was killed while it wrote: what it wrote counts up to its last whole line. */
    if (read && how & HOW_CUT && text.length > strlen(head))
        MUST(read_text(text.bytes, strlen(head) + cut % (text.length - strlen(head)), now_ms));
    return 0;
}
