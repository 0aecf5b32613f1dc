#include "crash_line.h"

#include <string.h>

#include "seeded.h"

enum { LSN_BITS = 32, VALUE_MAX = 300 };

static bool is_open(const struct era *era)
{
    return era->last_lsn == UINT64_MAX;
}

static bool add_era(struct line *line, uint64_t history, uint64_t above_lsn, uint32_t epoch)
{
    if (line->eras == LINE_ERAS_MAX)
        return false;
    line->era[line->eras++] = (struct era){.history = history,
                                           .first_lsn = ((above_lsn >> LSN_BITS) + 1) << LSN_BITS,
                                           .last_lsn = UINT64_MAX,
                                           .epoch = epoch};
    return true;
}

void line_begin(struct line *line, uint64_t history)
{
    line->eras = 0;
    add_era(line, history, 0, 1);
}

bool line_part(struct line *line, uint64_t lsn, uint64_t history)
{
    struct era *last = &line->era[line->eras - 1];

    if (line->eras == LINE_ERAS_MAX)
        return false;
    last->last_lsn = lsn;
    return add_era(line, history, lsn > last->first_lsn ? lsn : last->first_lsn, last->epoch + 1);
}

bool line_fork(struct line *out, const struct line *line, uint64_t lsn, uint64_t history)
{
    const struct era *last = &line->era[line->eras - 1];
    struct line_place place = line_at(line, lsn);

    *out = *line;
    out->eras = place.era + 1;
    out->era[place.era].last_lsn = lsn;
    return add_era(out, history, last->first_lsn, last->epoch + 1);
}

struct line_place line_at(const struct line *line, uint64_t lsn)
{
    struct line_place place = {0};

    for (unsigned i = 0; i < line->eras && line->era[i].first_lsn <= lsn; i++) {
        const struct era *era = &line->era[i];
        if (era->last_lsn < era->first_lsn)
            continue;
        place = (struct line_place){i, era->last_lsn < lsn ? era->last_lsn : lsn};
    }
    return place;
}

uint64_t line_next(const struct line *line, struct line_place place)
{
    const struct era *era = &line->era[place.era];
    uint64_t next = place.lsn < era->first_lsn ? era->first_lsn : place.lsn + 1;

    return is_open(era) || next <= era->last_lsn ? next : 0;
}

uint64_t line_common(const struct line *a, const struct line *b)
{
    uint64_t common = 0;

    for (unsigned i = 0; i < a->eras && i < b->eras && a->era[i].history == b->era[i].history; i++) {
        const struct era *x = &a->era[i], *y = &b->era[i];
        uint64_t last = x->last_lsn < y->last_lsn ? x->last_lsn : y->last_lsn;
        if (last >= x->first_lsn)
            common = last;
        if (x->last_lsn != y->last_lsn)
            break;
    }
    return common;
}

uint64_t line_count(const struct line *line, uint64_t above, uint64_t lsn)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < line->eras; i++) {
        const struct era *era = &line->era[i];
        uint64_t first = era->first_lsn > above ? era->first_lsn : above + 1;
        uint64_t last = era->last_lsn < lsn ? era->last_lsn : lsn;
        count += first <= last ? last - first + 1 : 0;
    }
    return count;
}

size_t line_record(uint8_t out[LOG_RECORD_BYTES_MAX], uint64_t history, uint64_t lsn, unsigned keys)
{
    uint64_t random = seeded_start(history ^ seeded_start(lsn));
    uint64_t pick = seeded_below(&random, 1000);
    uint8_t key[KEY_BYTES_MAX], value[VALUE_MAX];
    struct log_record record = {.lsn = lsn, .type = LOG_NOP};

    if (pick < 2) {
        record.type = LOG_FLUSH;
    } else if (pick < 980) {
        record.type = pick < 200 ? LOG_DELETE : LOG_SET;
        record.reason = pick < 200 ? LOG_REASON_REQUEST : LOG_REASON_NONE;
        record.key = key;
        record.key_length = journal_key(key, (unsigned)seeded_below(&random, keys));
    }
    if (record.type == LOG_SET) {
        record.value = value;
        record.value_length = (uint16_t)seeded_below(&random, VALUE_MAX + 1);
        seeded_fill(&random, value, record.value_length < 16 ? record.value_length : 16);
        if (record.value_length > 16)
            memset(value + 16, (int)lsn, record.value_length - 16u);
    }
    return log_record_encode(out, &record);
}

void line_each(const struct line *line, uint64_t lsn, unsigned keys,
               void (*each)(void *context, const uint8_t *record, size_t length), void *context)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];

    for (unsigned i = 0; i < line->eras; i++) {
        const struct era *era = &line->era[i];
        for (uint64_t at = era->first_lsn; at <= era->last_lsn && at <= lsn; at++)
            each(context, bytes, line_record(bytes, era->history, at, keys));
    }
}

void line_meta(struct meta *meta, const struct line *line, unsigned eras)
{
    memset(meta->cluster_id, 0xc1, sizeof meta->cluster_id);
    meta->count = eras;
    for (unsigned i = 0; i < eras; i++) {
        const struct era *era = &line->era[i];
        meta->history[i] = (struct history){.id = era->history,
                                            .first_lsn = era->first_lsn,
                                            .node_id = 0x900d,
                                            .before_lsn = i > 0 ? line_at(line, era->first_lsn - 1).lsn : 0,
                                            .epoch = era->epoch};
    }
}
