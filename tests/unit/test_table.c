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

/* Eight keys of equal length, of lengths with equal counts of words, and of any lengths, in turn. */
static void a_burst_is_hashed_as_its_keys_are_one_by_one(void)
{
    enum { COUNT = 27 };
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64, .hash_key = {1, 2, 3, 4, 5, 6, 7, 8, 9}});
    uint64_t seed = 3;
    for (unsigned i = 0; i < 3 * KEY_BYTES_MAX; i++) {
        struct table_probe probe[COUNT];
        uint8_t *key[COUNT];
        unsigned length = 1 + i % KEY_BYTES_MAX;
        for (unsigned k = 0; k < COUNT; k++) {
            unsigned own = length;
            if (i % 3 == 1)
                own = length / 8 * 8 + seeded_next(&seed) % 8;
            else if (i % 3 == 2)
                own = 1 + seeded_next(&seed) % KEY_BYTES_MAX;
            own = own == 0 || own > KEY_BYTES_MAX ? length : own;
            key[k] = malloc(own); /* whole: ASan sees a byte read beyond */
            seeded_fill(&seed, key[k], own);
            probe[k] = (struct table_probe){.key = key[k], .key_length = (uint8_t)own};
        }
        table_probe_hash(f.table, probe, 1 + seeded_next(&seed) % COUNT);
        table_probe_hash(f.table, probe, COUNT);
        for (unsigned k = 0; k < COUNT; k++) {
            CU_ASSERT_EQUAL(probe[k].hash, table_hash(f.table, key[k], probe[k].key_length));
            free(key[k]);
        }
    }
    fixture_close(&f);
}

static enum status get_probed(struct fixture *f, const struct table_probe *probe)
{
    f->result = (struct result){.value = f->value, .room = VALUE_BYTES_MAX};
    return execute_get(f->context, probe, f->now_ms, &f->result);
}

/* A look-up of "p" that has done its first two steps. */
static struct table_probe probe_of_p(struct fixture *f)
{
    struct table_probe probe = {.key = (const uint8_t *)"p", .key_length = 1};
    table_probe_hash(f->table, &probe, 1);
    table_probe_find(f->table, &probe, 1);
    return probe;
}

static void a_probed_get_answers_for_the_table_of_its_own_moment(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    struct table_probe probe = probe_of_p(&f);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "p", "one", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_OK);
    CU_ASSERT(fixture_value_is(&f, "one"));

    probe = probe_of_p(&f);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_OK);
    CU_ASSERT(fixture_value_is(&f, "one"));
    CU_ASSERT_EQUAL(fixture_set(&f, "p", "another", 5, 0), STATUS_OK);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_OK);
    CU_ASSERT(fixture_value_is(&f, "another"));

    probe = probe_of_p(&f);
    f.now_ms += 5;
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_NOT_FOUND);

    CU_ASSERT_EQUAL(fixture_set(&f, "p", "third", 0, 0), STATUS_OK);
    probe = probe_of_p(&f);
    struct operation flush = {.opcode = OPCODE_FLUSH};
    CU_ASSERT_EQUAL(execute(f.context, &flush, 0, f.now_ms, &f.result), STATUS_OK);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_NOT_FOUND);

    CU_ASSERT_EQUAL(fixture_set(&f, "p", "fourth", 0, 0), STATUS_OK);
    probe = probe_of_p(&f);
    CU_ASSERT_EQUAL(fixture_delete(&f, "p"), STATUS_OK);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_NOT_FOUND);
    fixture_close(&f);
}

/* The line that the probe found belongs to the next key now. */
static void a_probed_line_that_changed_hands_is_not_read(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    CU_ASSERT_EQUAL(fixture_set(&f, "p", "first", 0, 0), STATUS_OK);
    struct table_probe probe = probe_of_p(&f);
    CU_ASSERT_EQUAL(fixture_delete(&f, "p"), STATUS_OK);
    CU_ASSERT_EQUAL(fixture_set(&f, "q", "other", 0, 0), STATUS_OK);
    struct table_probe other = {.key = (const uint8_t *)"q", .key_length = 1};
    table_probe_hash(f.table, &other, 1);
    table_probe_find(f.table, &other, 1);
    CU_ASSERT_PTR_EQUAL(probe.line, other.line);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_NOT_FOUND);
    CU_ASSERT_EQUAL(fixture_set(&f, "p", "again", 0, 0), STATUS_OK);
    CU_ASSERT_EQUAL(get_probed(&f, &probe), STATUS_OK);
    CU_ASSERT(fixture_value_is(&f, "again"));
    fixture_close(&f);
}

/* As a reply that is written over its request; the item's size decides who copies. */
static void a_value_may_be_written_over_its_key(void)
{
    struct fixture f;
    fixture_open(&f, &(struct table_config){.capacity = 64});
    for (unsigned length = 0; length <= VALUE_BYTES_MAX; length += length < 60 ? 1 : 97) {
        uint8_t value[VALUE_BYTES_MAX], room[VALUE_BYTES_MAX];
        uint64_t seed = length;
        seeded_fill(&seed, value, length);
        struct operation operation = {.opcode = OPCODE_SET,
                                      .key = (const uint8_t *)"a key of 21 bytes....",
                                      .key_length = 21,
                                      .value = value,
                                      .value_length = (uint16_t)length};
        CU_ASSERT_EQUAL(fixture_execute(&f, &operation), STATUS_OK);
        for (unsigned probed = 0; probed < 2; probed++) {
            memcpy(room, operation.key, 21);
            struct operation get = {.opcode = OPCODE_GET, .key = room, .key_length = 21};
            struct table_probe probe = {.key = room, .key_length = 21};
            struct result result = {.value = room, .room = VALUE_BYTES_MAX};
            table_probe_hash(f.table, &probe, 1);
            table_probe_find(f.table, &probe, 1);
            CU_ASSERT_EQUAL(probed ? execute_get(f.context, &probe, f.now_ms, &result)
                                   : execute(f.context, &get, probe.hash, f.now_ms, &result),
                            STATUS_OK);
            CU_ASSERT_EQUAL_FATAL(result.value_length, length);
            CU_ASSERT_EQUAL(memcmp(room, value, length), 0);
        }
    }
    fixture_close(&f);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a set item is read back", a_set_item_is_read_back},
        {"every size of key and value is read back", every_size_of_key_and_value_is_read_back},
        {"a burst is hashed as its keys are one by one", a_burst_is_hashed_as_its_keys_are_one_by_one},
        {"a probed get answers for the table of its own moment",
         a_probed_get_answers_for_the_table_of_its_own_moment},
        {"a probed line that changed hands is not read", a_probed_line_that_changed_hands_is_not_read},
        {"a value may be written over its key", a_value_may_be_written_over_its_key},
        CU_TEST_INFO_NULL,
    };
    return suite_run("table", tests);
}
