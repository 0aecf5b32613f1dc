#include "suite.h"

#include "wal_block.h"

/* RFC 3720 B.4 */
static void the_published_vectors_hold(void)
{
    uint8_t bytes[32];
    CU_ASSERT_EQUAL(wal_crc(0, "123456789", 9), 0xE3069283);
    memset(bytes, 0, sizeof bytes);
    CU_ASSERT_EQUAL(wal_crc(0, bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    CU_ASSERT_EQUAL(wal_crc(0, bytes, sizeof bytes), 0x62A8AB43);
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    CU_ASSERT_EQUAL(wal_crc(0, bytes, sizeof bytes), 0x46DD794E);
    CU_ASSERT_EQUAL(wal_crc(0, bytes, 0), 0);
}

static void pieces_give_what_the_whole_gives(void)
{
    uint64_t seed = seeded_start(1);
    uint8_t bytes[100];
    seeded_fill(&seed, bytes, sizeof bytes);
    uint32_t whole = wal_crc(0, bytes, sizeof bytes);
    for (unsigned cut = 0; cut <= sizeof bytes; cut++)
        CU_ASSERT_EQUAL(wal_crc(wal_crc(0, bytes, cut), bytes + cut, sizeof bytes - cut), whole);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the published vectors hold", the_published_vectors_hold},
        {"pieces give what the whole gives", pieces_give_what_the_whole_gives},
        CU_TEST_INFO_NULL,
    };
    return suite_run("wal_crc", tests);
}
