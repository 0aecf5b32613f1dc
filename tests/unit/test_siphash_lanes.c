/* Tags computed in lanes are libsodium's, whatever the lengths beside them. */
#include <sodium.h>

#include "siphash_lanes.h"
#include "suite.h"

enum { JOBS_MAX = 67, BYTES_MAX = 300 };

static uint8_t bytes[JOBS_MAX][BYTES_MAX], keys[JOBS_MAX][16], tags[JOBS_MAX][16];
static struct siphash_job jobs[JOBS_MAX];

static void check(unsigned count)
{
    siphash_lanes(jobs, count);
    for (unsigned i = 0; i < count; i++) {
        uint8_t expected[16];
        crypto_shorthash_siphashx24(expected, jobs[i].bytes, jobs[i].length, jobs[i].key);
        CU_ASSERT(memcmp(jobs[i].tag, expected, 16) == 0);
    }
}

static void prepare(uint64_t seed)
{
    uint64_t state = seeded_start(seed);
    seeded_fill(&state, bytes, sizeof bytes);
    seeded_fill(&state, keys, sizeof keys);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        jobs[i] = (struct siphash_job){.key = keys[i], .bytes = bytes[i], .tag = tags[i]};
}

static void test_equal_lengths_give_libsodiums_tags(void)
{
    prepare(1);
    for (size_t length = 0; length <= BYTES_MAX; length++) {
        for (unsigned i = 0; i < JOBS_MAX; i++)
            jobs[i].length = length;
        check(2 + (unsigned)length % 16);
    }
}

static void test_unequal_lengths_give_libsodiums_tags(void)
{
    prepare(2);
    uint64_t state = seeded_start(3);
    for (unsigned trial = 0; trial < 200; trial++) {
        for (unsigned i = 0; i < JOBS_MAX; i++)
            jobs[i].length = seeded_below(&state, BYTES_MAX + 1);
        check(JOBS_MAX);
    }
}

static void test_any_number_of_messages(void)
{
    prepare(4);
    for (unsigned i = 0; i < JOBS_MAX; i++)
        jobs[i].length = 72;
    for (unsigned count = 0; count <= JOBS_MAX; count++) {
        memset(jobs[count % JOBS_MAX].tag, 0xEE, 16);
        check(count);
        if (count < JOBS_MAX)
            CU_ASSERT_EQUAL(jobs[count].tag[0], 0xEE); /* no job but those given is touched */
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {(char *)"equal lengths give libsodium's tags", test_equal_lengths_give_libsodiums_tags},
        {(char *)"unequal lengths give libsodium's tags", test_unequal_lengths_give_libsodiums_tags},
        {(char *)"any number of messages", test_any_number_of_messages},
        CU_TEST_INFO_NULL};
    return suite_run("siphash_lanes", tests);
}
