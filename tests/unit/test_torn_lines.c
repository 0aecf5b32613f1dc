/*
 * test_torn_lines.c - a look-up that raced with a writer may see any words in the lines that it reads: any
 * lengths, links and keys. It follows no number out of the array of lines, which lies between pages that
 * nobody may touch here, and writes no value beyond its room. WILD_SEED=S
 */
#include <sys/mman.h>

#include "suite.h"

#include "table_fixture.h"
#include "table_internal.h"

enum { PAGE_BYTES = 4096, LINES = 2 * PAGE_BYTES / LINE_BYTES, LOOKUPS = 30000 };

struct torn {
    struct fixture fixture;
    struct lines lines; /* the table's own */
    uint8_t *pages;
    uint64_t random;
};

static uint64_t below(struct torn *torn, uint64_t bound)
{
    return seeded_below(&torn->random, bound);
}

static void open_torn(struct torn *torn)
{
    struct lines *lines;
    fixture_open(&torn->fixture, &(struct table_config){.capacity = 64});
    lines = &torn->fixture.table->lines;
    torn->pages = mmap(NULL, 4 * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CU_ASSERT_FATAL(torn->pages != MAP_FAILED);
    CU_ASSERT_EQUAL_FATAL(mprotect(torn->pages + PAGE_BYTES, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE), 0);
    torn->lines = *lines;
    lines->line = (struct line *)(torn->pages + PAGE_BYTES);
    lines->end = LINES;
    torn->random = seeded_start(seeded_from_environment(1));
}

static void close_torn(struct torn *torn)
{
    torn->fixture.table->lines = torn->lines;
    fixture_close(&torn->fixture);
    munmap(torn->pages, 4 * PAGE_BYTES);
}

/* Of a next line: the neighbour, one about where the array ends, or any number. */
static uint32_t any_number(struct torn *torn, uint32_t line)
{
    switch (below(torn, 4)) {
    case 0:
        return (uint32_t)seeded_next(&torn->random);
    case 1:
        return LINES - 8 + (uint32_t)below(torn, 16);
    default:
        return line + 1;
    }
}

static void write_line(struct torn *torn, uint32_t number, const uint8_t *key, size_t key_length, bool first)
{
    _Atomic uint64_t *word = torn->fixture.table->lines.line[number].word;
    uint8_t bytes[LINE_BYTES];
    uint64_t words[LINE_WORDS];
    size_t most = below(torn, 2) ? VALUE_BYTES_MAX : UINT16_MAX;

    memset(bytes, key[0],
           sizeof bytes); /* keys are of one byte over and over: they compare equal now and then */
    memcpy(words, bytes, sizeof bytes);
    words[below(torn, LINE_WORDS)] = seeded_next(&torn->random);
    if (first) {
        words[ITEM_VERSION_WORD] = FIXTURE_FIRST_LSN;
        words[ITEM_EXPIRY_WORD] = 0;
        words[ITEM_SHAPE_WORD] =
            below(torn, 4) == 0 ? seeded_next(&torn->random)
                                : item_shape(any_number(torn, number), key_length, below(torn, most + 1));
    } else {
        words[0] = any_number(torn, number);
    }
    for (unsigned i = 0; i < LINE_WORDS; i++)
        word_store(&word[i], words[i]);
}

static enum status look_up(struct torn *torn)
{
    static const uint16_t lengths[] = {1, 7, 8, 16, 33, 39, 40, 41, 97, KEY_BYTES_MAX};
    struct table *table = torn->fixture.table;
    size_t key_length = lengths[below(torn, sizeof lengths / sizeof lengths[0])], room = below(torn, 1025);
    uint8_t key[KEY_BYTES_MAX], *value = malloc(room + 1);
    memset(key, (int)below(torn, 2), key_length);
    struct table_probe probe = {.key = key, .key_length = (uint8_t)key_length};
    uint32_t first = 1 + (uint32_t)below(torn, LINES - 1);

    CU_ASSERT_PTR_NOT_NULL_FATAL(value);
    value[room] = 0xEE;
    table_probe_hash(table, &probe, 1);
    for (unsigned i = 0; i < 2; i++)
        word_store(&probe.bucket->tags[i], 0);
    word_store(&probe.bucket->tags[0], hash_tag(probe.hash));
    atomic_store(&probe.bucket->lines[0], first);
    for (uint32_t line = 1; line < LINES; line++)
        if (line >= first || below(torn, 16) == 0)
            write_line(torn, line, key, key_length, line == first);
    table_probe_find(table, &probe, 1);
    struct result result = {.value = value, .room = (uint16_t)room};
    enum status status = execute_get(torn->fixture.context, &probe, 1, &result);
    CU_ASSERT_FATAL(result.value_length <= room && value[room] == 0xEE);
    free(value);
    return status;
}

static void torn_numbers_lead_nowhere_and_torn_lengths_fill_no_more_than_the_room(void)
{
    static struct torn torn;
    unsigned statuses[STATUS_COUNT] = {0};

    open_torn(&torn);
    for (unsigned i = 0; i < LOOKUPS; i++)
        statuses[look_up(&torn)]++;
    close_torn(&torn);
    /* All kinds were among them; BUSY: a link out of the array. */
    CU_ASSERT(statuses[STATUS_OK] > 100);
    CU_ASSERT(statuses[STATUS_NOT_FOUND] > 100);
    CU_ASSERT(statuses[STATUS_MORE] > 100);
    CU_ASSERT(statuses[STATUS_BUSY] > 100);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"torn numbers lead nowhere, and torn lengths fill no more than the room",
         torn_numbers_lead_nowhere_and_torn_lengths_fill_no_more_than_the_room},
        CU_TEST_INFO_NULL,
    };
    return suite_run("torn lines", tests);
}
