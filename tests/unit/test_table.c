#include "suite.h"

#include "execute.h"
#include "log_merge.h"
#include "table_fixture.h"

static void a_set_item_is_read_back(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "key", "value", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, FIXTURE_FIRST_LSN);
    CU_ASSERT_EQUAL(fixture_get(&f, "key"), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.value_length, 5);
    CU_ASSERT_EQUAL(memcmp(f.value, "value", 5), 0);
    CU_ASSERT_EQUAL(f.result.version, FIXTURE_FIRST_LSN);
    CU_ASSERT_EQUAL(fixture_get(&f, "kez"), STATUS_NOT_FOUND);
    fixture_close(&f);
}

static void every_size_of_key_and_value_is_read_back(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    uint8_t key[KEY_BYTES_MAX], value[VALUE_BYTES_MAX];
    uint64_t seed = 1;
    seeded_fill(&seed, key, sizeof key);
    seeded_fill(&seed, value, sizeof value);
    for (unsigned k = 1; k <= KEY_BYTES_MAX; k++) {
        for (unsigned v = 0; v <= VALUE_BYTES_MAX; v += 1 + (k % 7) * (v > 64)) {
            struct operation set = {.opcode = OPCODE_SET,
                                    .key = key,
                                    .key_length = (uint8_t)k,
                                    .value = value,
                                    .value_length = (uint16_t)v};
            struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = (uint8_t)k};
            memset(f.value, 0xEE, sizeof f.value);
            bool good = fixture_execute(&f, &set) == STATUS_OK && fixture_execute(&f, &get) == STATUS_OK &&
                        f.result.value_length == v && memcmp(f.value, value, v) == 0 && f.value[v] == 0xEE;
            if (!good) {
                CU_FAIL("an item came back changed");
                fprintf(stderr, "key %u value %u\n", k, v);
                goto out;
            }
        }
        struct operation gone = {.opcode = OPCODE_DELETE, .key = key, .key_length = (uint8_t)k};
        CU_ASSERT_EQUAL(fixture_execute(&f, &gone), STATUS_OK);
        struct table_counts counts;
        table_counts(f.table, &counts);
        CU_ASSERT_EQUAL(counts.lines_used, 0);
        CU_ASSERT_EQUAL(counts.items, 0);
    }
out:
    fixture_close(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a set item is read back", a_set_item_is_read_back},
        {"every size of key and value is read back", every_size_of_key_and_value_is_read_back},
        CU_TEST_INFO_NULL,
    };
    return suite_run("table", tests);
}
