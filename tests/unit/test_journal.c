/*
 * test_journal.c - the journal's lines there and back, and what they say about what a node holds.
 */
#include <stdlib.h>
#include <unistd.h>

#include "journal_state.h"
#include "load_values.h"
#include "suite.h"
#include "wild.h"

enum { RUN = 0x5f3a91c2, KEY = 42, NOW_MS = 1000000000 };

static struct journal_line line(enum journal_event event, uint32_t version)
{
    return (struct journal_line){.event = event, .run = RUN, .version = version, .key = KEY};
}

static void every_line_comes_back(void)
{
    struct journal_line lines[] = {
        {.event = JOURNAL_SET, .run = RUN, .version = 17, .key = KEY, .bytes = 32},
        {JOURNAL_SET, UINT32_MAX, UINT32_MAX, 99999999999, 0, UINT64_MAX, WILD_VALUE_MAX},
        {.event = JOURNAL_DELETE, .run = 0, .version = 1, .key = 0},
        {.event = JOURNAL_OK, .run = RUN, .version = 1, .key = 7, .lsn = UINT64_MAX, .expiry_ms = UINT64_MAX},
        {.event = JOURNAL_OK, .run = 1, .version = 1, .key = 7},
        {.event = JOURNAL_UNANSWERED, .run = RUN, .version = 3, .key = KEY},
        {.event = JOURNAL_REFUSED, .run = RUN, .version = 3, .key = KEY}};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        char text[JOURNAL_LINE_BYTES], again[JOURNAL_LINE_BYTES];
        struct journal_line read;
        size_t length = journal_line_write(text, &lines[i]);
        CU_ASSERT(length == strlen(text) && length < JOURNAL_LINE_BYTES && text[length - 1] == '\n');
        CU_ASSERT(!journal_line_read(&read, text));
        text[length - 1] = '\0';
        CU_ASSERT(journal_line_read(&read, text));
        journal_line_write(again, &read);
        CU_ASSERT(strncmp(again, text, length - 1) == 0 && again[length - 1] == '\n');
        /* cut off anywhere up to the write's number it is no line */
        for (char *end = strchr(text, '.') + 1; end >= text; end--) {
            *end = '\0';
            CU_ASSERT(!journal_line_read(&read, text));
        }
    }
}

static void what_is_no_line_is_refused(void)
{
    static const char *const wrong[] = {"",
                                        "ok",
                                        "set load:00000000042 5f3a91c2.17 32",
                                        "set load:00000000042 5f3a91c2.17 32 ",
                                        "set load:00000000042 5f3a91c2.17 1025 -",
                                        "set load:00000000042 5f3a91c2.17 -1 -",
                                        "set load:00000000042 5f3a91c2.17 32 - -",
                                        "set load:0000000042 5f3a91c2.17 32 -",
                                        "set load:000000000042 5f3a91c2.17 32 -",
                                        "set load:00000000042 5F3A91C2.17 32 -",
                                        "set load:00000000042 5f3a91c2.4294967296 32 -",
                                        "set load:00000000042 05f3a91c2.17 32 -",
                                        "set  load:00000000042 5f3a91c2.17 32 -",
                                        "ok load:00000000042 5f3a91c2.17 18446744073709551616 -",
                                        "ok load:00000000042 5f3a91c2.17 + -",
                                        "delete load:00000000042 5f3a91c2.17 1",
                                        "read load:00000000042 5f3a91c2.17"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct journal_line read;
        CU_ASSERT(!journal_line_read(&read, wrong[i]));
    }
}

/* ---- verdicts: a letter a line, all about one key; versions count up ----
 * s set, e set that expires from NOW - 5 s to NOW + 5 s, x set that has expired, d delete; each sent only
 * + acknowledged with LSN 10 * version, ? unanswered, - refused */

static bool read_story(struct journal_state *state, const char *story, char error[JOURNAL_ERROR_BYTES])
{
    char *text = NULL;
    size_t length = 0;
    uint32_t version = 0;
    uint64_t expired_by = 0;
    FILE *file = open_memstream(&text, &length);
    fputs(JOURNAL_HEAD "\n", file);
    for (; *story != '\0'; story++) {
        static const char outcomes[] = "+?-", writes[] = "sexd";
        char out[JOURNAL_LINE_BYTES];
        struct journal_line next;
        if (strchr(writes, *story) != NULL) {
            next = line(*story == 'd' ? JOURNAL_DELETE : JOURNAL_SET, ++version);
            next.bytes = 24;
            next.expiry_ms = *story == 'e' ? NOW_MS - 5000 : *story == 'x' ? NOW_MS - 20000 : 0;
            expired_by = *story == 'e' ? NOW_MS + 5000 : next.expiry_ms;
        } else {
            next = line((enum journal_event)(JOURNAL_OK + (strchr(outcomes, *story) - outcomes)), version);
            next.lsn = 10 * version;
            next.expiry_ms = expired_by;
        }
        journal_line_write(out, &next);
        fputs(out, file);
    }
    fclose(file);
    file = fmemopen(text, length, "r");
    bool read = journal_state_read(state, file, error);
    fclose(file);
    free(text);
    return read;
}

/* The node holds what write number `value` stored (0: nothing; 99: something else) with that version. */
static char verdict(const char *story, uint32_t value, uint64_t version)
{
    struct journal_state state;
    char error[JOURNAL_ERROR_BYTES];
    uint8_t bytes[24];
    CU_ASSERT_FATAL(read_story(&state, story, error));
    CU_ASSERT_EQUAL_FATAL(state.key_count, 1);
    load_value_fill(bytes, sizeof(bytes), KEY, value, RUN);
    struct journal_found found = {.value = value != 0 ? bytes : NULL,
                                  .length = value != 0 ? sizeof(bytes) : 0,
                                  .absent = value == 0,
                                  .version = version,
                                  .asked_ms = NOW_MS,
                                  .answer_ms = NOW_MS};
    char verdict = "FLW"[journal_judge(&state, &state.keys[0], &found)];
    journal_state_free(&state);
    return verdict;
}

struct judged {
    const char *story;
    uint32_t value;
    uint64_t version;
    char verdict;
};

static void check_verdicts(const struct judged *each, size_t count)
{
    for (; count > 0; count--, each++) {
        char got = verdict(each->story, each->value, each->version);
        if (got != each->verdict)
            printf("\n%s, value %u with version %llu: %c instead of %c\n", each->story, each->value,
                   (unsigned long long)each->version, got, each->verdict);
        CU_ASSERT_EQUAL(got, each->verdict);
    }
}

static void an_acknowledged_write_is_there_or_lost(void)
{
    static const struct judged each[] = {
        {"s+", 1, 10, 'F'},
        {"s+", 0, 0, 'L'},
        {"s+s+", 2, 20, 'F'},
        {"s+s+", 1, 10, 'L'},
        {"s+s+", 99, 5, 'L'},
        {"s+s+", 99, 20, 'W'},
        {"s+s+", 1, 20, 'W'},
        {"s+s+", 99, 30, 'W'},
        {"s+s+", 1, 30, 'W'},
        /* executed twice */
        {"s+s+", 2, 30, 'F'},
        /* refused */
        {"s+s-", 1, 10, 'F'},
        {"s+s-", 2, 20, 'W'},
        {"s+s-", 0, 0, 'L'},
    };

    check_verdicts(each, sizeof(each) / sizeof(each[0]));
}

static void an_acknowledged_delete_is_not_undone(void)
{
    static const struct judged each[] = {
        {"s+d+", 0, 0, 'F'},    {"s+d+", 1, 10, 'L'},  {"s+d+", 1, 20, 'W'},
        {"s+d+s+", 3, 30, 'F'}, {"s+d+s+", 0, 0, 'L'}, {"s+d-", 0, 0, 'L'},
    };

    check_verdicts(each, sizeof(each) / sizeof(each[0]));
}

static void any_of_the_unanswered_writes_may_have_happened(void)
{
    static const struct judged each[] = {
        {"s+d?", 0, 0, 'F'},
        {"s+d?", 1, 10, 'F'},
        {"s+d", 0, 0, 'F'},
        {"s+d?s?", 0, 0, 'F'},
        /* what an acknowledged one followed, only if it happened after that */
        {"s+s?s+", 2, 20, 'L'},
        {"s+s?s+", 2, 35, 'F'},
        {"s+d?s+", 0, 0, 'L'},
        {"s+d?s+s?", 0, 0, 'L'},
        {"s?", 0, 0, 'F'},
        {"s?", 99, 3, 'F'}, /* what it held before is not known */
        {"s", 1, 10, 'F'},
    };

    for (const char *const *story = (const char *const[]){"s+s?s?s?", "s+s?s?s", "s+sss", NULL}; *story;
         story++) {
        uint32_t writes = **story == 's' && strlen(*story) == 5 ? 3 : 4;
        CU_ASSERT_EQUAL(verdict(*story, 1, 10), 'F');
        for (uint32_t i = 2; i <= writes; i++)
            CU_ASSERT_EQUAL(verdict(*story, i, 10 * i), 'F');
        CU_ASSERT_EQUAL(verdict(*story, 99, 45), 'W');
        CU_ASSERT_EQUAL(verdict(*story, 0, 0), 'L'); /* none of them removes it */
    }
    check_verdicts(each, sizeof(each) / sizeof(each[0]));
}

static void expiry_is_held_to_as_well(void)
{
    static const struct judged each[] = {
        {"e+", 1, 10, 'F'}, {"e+", 0, 0, 'F'},   {"x+", 0, 0, 'F'},
        {"x+", 1, 10, 'W'}, {"e+s+", 0, 0, 'L'}, {"s+e?", 0, 0, 'F'},
    };

    check_verdicts(each, sizeof(each) / sizeof(each[0]));
}

static void outcomes_without_a_write_are_refused(void)
{
    static const char *const wrong[] = {"+", "?", "s++", "s+?", "s-+", "s?+"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct journal_state state;
        char error[JOURNAL_ERROR_BYTES] = "";
        CU_ASSERT(!read_story(&state, wrong[i], error));
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "an outcome without its write"));
    }
}

static void many_keys_are_told_apart(void)
{
    enum { KEYS = 5000 };
    struct journal_state state;
    char *text = NULL, error[JOURNAL_ERROR_BYTES];
    size_t length = 0;
    FILE *file = open_memstream(&text, &length);
    fputs(JOURNAL_HEAD "\n", file);
    for (unsigned round = 1; round <= 3; round++)
        for (uint64_t key = 0; key < KEYS; key++) {
            char out[2 * JOURNAL_LINE_BYTES];
            struct journal_line set = {.event = JOURNAL_SET, .run = RUN, .version = round, .key = key * 7919};
            struct journal_line end = {.event = round == 2 ? JOURNAL_UNANSWERED : JOURNAL_OK,
                                       .run = RUN,
                                       .version = round,
                                       .key = key * 7919,
                                       .lsn = round * KEYS + key};
            journal_line_write(out + journal_line_write(out, &set), &end);
            fputs(out, file);
        }
    fclose(file);
    file = fmemopen(text, length, "r");
    CU_ASSERT_FATAL(journal_state_read(&state, file, error));
    fclose(file);
    free(text);
    CU_ASSERT_EQUAL(state.key_count, KEYS);
    CU_ASSERT_EQUAL(state.write_count, KEYS);
    for (uint32_t i = 0; i < state.key_count; i++) {
        CU_ASSERT_EQUAL(state.keys[i].number, (uint64_t)i * 7919);
        CU_ASSERT_EQUAL(state.keys[i].acknowledged.lsn, 3 * KEYS + i);
    }
    journal_state_free(&state);
}

/* A journal of those bytes: NULL, or what is said about it. */
static const char *complaint(const char *bytes, size_t length)
{
    static char error[JOURNAL_ERROR_BYTES];
    struct journal_state state;
    FILE *file = fmemopen((void *)bytes, length, "r");
    bool read = journal_state_read(&state, file, error);
    fclose(file);
    if (read)
        journal_state_free(&state);
    return read ? NULL : error;
}

static void what_is_no_journal_proves_nothing(void)
{
    static const char zeros[1 << 20], head[] = JOURNAL_HEAD "\n", nul[] = JOURNAL_HEAD "\0x\n";
    static const char *const none = "line 1: no journal";
    char lines[1024] = JOURNAL_HEAD "\n";
    CU_ASSERT_PTR_NULL(complaint(head, strlen(head)));
    CU_ASSERT_PTR_NOT_NULL_FATAL(complaint("", 1));
    CU_ASSERT(strstr(complaint("", 1), none) == complaint("", 1));
    for (size_t length = 1; length < strlen(head); length++) /* its beginning alone */
        CU_ASSERT_PTR_NOT_NULL(complaint(head, length));
    CU_ASSERT_PTR_NOT_NULL(complaint(nul, sizeof(nul) - 1));
    CU_ASSERT_PTR_NOT_NULL(complaint(zeros, sizeof(zeros)));
    /* longer than any line, and as if it had been cut */
    memset(lines + strlen(lines), 'x', 200);
    strcat(lines, JOURNAL_CUT "\n");
    CU_ASSERT_PTR_NOT_NULL(complaint(lines, strlen(lines)));
    memset(lines + strlen(head), 'x', JOURNAL_LINE_BYTES - 1);
    strcpy(lines + strlen(head) + JOURNAL_LINE_BYTES - 1, JOURNAL_CUT "\n");
    CU_ASSERT_PTR_NULL(complaint(lines, strlen(lines)));
}

/* An endless file is not read to its end. */
static void a_line_is_not_looked_for_in_an_endless_file(void)
{
    struct journal_state state;
    char error[JOURNAL_ERROR_BYTES];
    FILE *file = fopen("/dev/zero", "r");
    CU_ASSERT_FATAL(file != NULL && !journal_state_read(&state, file, error));
    fclose(file);
}

static void a_file_that_is_no_journal_is_not_written_to(void)
{
    static const char *const contents[] = {"root:x:0:0\n", "# wild-client-example journal 2\n", "#", "\n"};
    char path[] = "/tmp/wild-test-journal-XXXXXX", error[JOURNAL_ERROR_BYTES], found[64];
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        size_t length = strlen(contents[i]);
        CU_ASSERT(ftruncate(fd, 0) == 0 && pwrite(fd, contents[i], length, 0) == (ssize_t)length);
        CU_ASSERT_EQUAL(journal_open(path, error), -1);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "something else"));
        CU_ASSERT_EQUAL(pread(fd, found, sizeof(found), 0), (ssize_t)length);
    }
    CU_ASSERT_EQUAL(ftruncate(fd, 0), 0);
    for (unsigned again = 0; again < 2; again++) {
        int journal = journal_open(path, error);
        CU_ASSERT(journal >= 0 && close(journal) == 0);
        CU_ASSERT_EQUAL(pread(fd, found, sizeof(found), 0), (ssize_t)strlen(JOURNAL_HEAD "\n"));
    }
    close(fd);
    unlink(path);
}

/* As far ahead as a number can say. */
static void an_expiry_that_never_comes_has_not_passed(void)
{
    static const char text[] = JOURNAL_HEAD "\nset load:00000000042 5f3a91c2.1 24 18446744073709551615\n"
                                            "ok load:00000000042 5f3a91c2.1 10 18446744073709551615\n";
    struct journal_state state;
    char error[JOURNAL_ERROR_BYTES];
    uint8_t bytes[24];
    FILE *file = fmemopen((void *)text, sizeof(text) - 1, "r");
    CU_ASSERT_FATAL(journal_state_read(&state, file, error));
    fclose(file);
    load_value_fill(bytes, sizeof(bytes), KEY, 1, RUN);
    struct journal_found found = {
        .value = bytes, .length = sizeof(bytes), .version = 10, .asked_ms = NOW_MS, .answer_ms = NOW_MS};
    CU_ASSERT_EQUAL(journal_judge(&state, &state.keys[0], &found), JOURNAL_FINE);
    journal_state_free(&state);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"every line comes back", every_line_comes_back},
        {"what is no line is refused", what_is_no_line_is_refused},
        {"an acknowledged write is there or lost", an_acknowledged_write_is_there_or_lost},
        {"an acknowledged delete is not undone", an_acknowledged_delete_is_not_undone},
        {"any of the unanswered writes may have happened", any_of_the_unanswered_writes_may_have_happened},
        {"expiry is held to as well", expiry_is_held_to_as_well},
        {"outcomes without a write are refused", outcomes_without_a_write_are_refused},
        {"many keys are told apart", many_keys_are_told_apart},
        {"what is no journal proves nothing", what_is_no_journal_proves_nothing},
        {"a line is not looked for in an endless file", a_line_is_not_looked_for_in_an_endless_file},
        {"a file that is no journal is not written to", a_file_that_is_no_journal_is_not_written_to},
        {"an expiry that never comes has not passed", an_expiry_that_never_comes_has_not_passed},
        CU_TEST_INFO_NULL,
    };
    return suite_run("journal", tests);
}
