/* test_member.c - lists of members as records of the log, there and back; and epochs. */
#include "epoch.h"
#include "suite.h"
#include "table_fixture.h"

static struct member_list list_of(unsigned count)
{
    struct member_list list = {.min_replicas = 2, .min_replicas_before = 1, .count = count};
    for (unsigned i = 0; i < count; i++) {
        struct member *member = &list.member[i];
        *member = (struct member){.node_id = 1000 + i,
                                  .address = {[10] = 0xff, [11] = 0xff, [15] = (uint8_t)i},
                                  .replication_port = (uint16_t)(9001 + i),
                                  .client_port = (uint16_t)(7878 + i),
                                  .part = (uint8_t)(i == 0 ? MEMBER_STAYS : MEMBER_STAYS + i % 3)};
        memset(member->name, 'a' + (int)i % 26, i);
    }
    return list;
}

/* The n-th record of a list, as the log has it. */
static void put(uint8_t bytes[LOG_RECORD_BYTES_MAX], const struct member_list *list, unsigned n, uint64_t lsn)
{
    uint8_t room[MEMBER_ROOM_BYTES];
    struct log_record record;
    member_record(&record, list, n, room);
    record.lsn = lsn;
    log_record_encode(bytes, &record);
}

/* Whether the n-th record of `list` makes one whole. */
static bool collects(struct member_collector *collector, const struct member_list *list, unsigned n,
                     struct member_list *out)
{
    uint8_t bytes[LOG_RECORD_BYTES_MAX];
    struct log_record record;
    put(bytes, list, n, 500 + n);
    CU_ASSERT_FATAL(log_record_decode(&record, bytes, sizeof bytes) > 0);
    return member_collect(collector, &record, out);
}

static void lists_of_every_length_come_back(void)
{
    struct member_collector collector = {.next = 0};
    struct member_list out;
    for (unsigned count = 1; count <= MEMBERS_MAX; count++) {
        struct member_list list = list_of(count);
        CU_ASSERT_TRUE_FATAL(member_list_valid(&list));
        for (unsigned i = 0; i < count; i++)
            CU_ASSERT_EQUAL_FATAL(collects(&collector, &list, i, &out), i + 1 == count);
        CU_ASSERT_TRUE(member_list_equal(&out, &list));
        CU_ASSERT(out.first_lsn == 500 && out.last_lsn == 500 + count - 1);
    }
}

static void a_list_that_is_not_finished_never_counts(void)
{
    struct member_collector collector = {.next = 0};
    struct member_list three = list_of(3), two = list_of(2), out;
    CU_ASSERT_FALSE(collects(&collector, &three, 0, &out));
    CU_ASSERT_FALSE(collects(&collector, &three, 1, &out));
    CU_ASSERT_FALSE(collects(&collector, &two, 0, &out)); /* another begins */
    CU_ASSERT_FALSE(collects(&collector, &three, 2, &out));
    CU_ASSERT_FALSE(collects(&collector, &two, 1, &out));
    /* its begin is not there */
    CU_ASSERT_FALSE(collects(&collector, &three, 1, &out));
    CU_ASSERT_FALSE(collects(&collector, &three, 2, &out));
    /* and one that is comes through */
    CU_ASSERT_FALSE(collects(&collector, &two, 0, &out));
    CU_ASSERT_TRUE(collects(&collector, &two, 1, &out));
}

static void records_of_two_lists_make_none(void)
{
    struct member_collector collector = {.next = 0};
    struct member_list a = list_of(2), b = list_of(2), out;
    b.min_replicas = 1;
    CU_ASSERT_FALSE(collects(&collector, &a, 0, &out));
    CU_ASSERT_FALSE(collects(&collector, &b, 1, &out));
    b.min_replicas = 2;
    b.min_replicas_before = 2;
    CU_ASSERT_FALSE(collects(&collector, &a, 0, &out));
    CU_ASSERT_FALSE(collects(&collector, &b, 1, &out));
    b = a;
    b.member[1].node_id = a.member[0].node_id; /* twice in it */
    CU_ASSERT_FALSE(member_list_valid(&b));
    CU_ASSERT_FALSE(collects(&collector, &b, 0, &out));
    CU_ASSERT_FALSE(collects(&collector, &b, 1, &out));
    a = list_of(1);
    a.member[0].part = MEMBER_LEAVES; /* nobody is left */
    CU_ASSERT_FALSE(member_list_valid(&a));
    CU_ASSERT_FALSE(collects(&collector, &a, 0, &out));
}

static void a_record_that_is_not_valid_is_refused(void)
{
    /* of the whole record, and a value there that cannot be */
    static const struct {
        unsigned at;
        uint8_t value;
    } bad[] = {
        {LOG_RECORD_HEADER_BYTES, 0},                                         /* node id */
        {LOG_RECORD_HEADER_BYTES + 8, 66},                                    /* count */
        {LOG_RECORD_HEADER_BYTES + 8, 0},  {LOG_RECORD_HEADER_BYTES + 10, 1}, /* index */
        {LOG_RECORD_HEADER_BYTES + 20, 0},                                    /* part */
        {LOG_RECORD_HEADER_BYTES + 20, 4}, {LOG_RECORD_HEADER_BYTES + 21, 1}, /* reserved */
        {LOG_RECORD_HEADER_BYTES + 40, 7},                                    /* name */
        {LOG_RECORD_HEADER_BYTES + 40, 0},
    };
    struct member_list list = list_of(1), head;
    struct log_record record;
    struct member member;
    unsigned index;
    uint8_t bytes[LOG_RECORD_BYTES_MAX];

    list.member[0].node_id = 5;
    strcpy(list.member[0].name, "a");
    put(bytes, &list, 0, 1);
    CU_ASSERT_FATAL(log_record_decode(&record, bytes, sizeof bytes) > 0);
    CU_ASSERT_TRUE(member_decode(&member, &head, &index, &record));
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(bytes, &list, 0, 1);
        bytes[bad[i].at] = bad[i].value;
        CU_ASSERT_FATAL(log_record_decode(&record, bytes, sizeof bytes) > 0);
        CU_ASSERT_FALSE(member_decode(&member, &head, &index, &record));
    }
    /* lengths, which the log knows */
    put(bytes, &list, 0, 1);
    bytes[17] = 7;
    CU_ASSERT(log_record_decode(&record, bytes, sizeof bytes) < 0);
    put(bytes, &list, 0, 1);
    bytes[18] = MEMBER_VALUE_BYTES - 1;
    CU_ASSERT(log_record_decode(&record, bytes, sizeof bytes) < 0);
    bytes[18] = MEMBER_VALUE_BYTES_MAX + 1;
    CU_ASSERT(log_record_decode(&record, bytes, sizeof bytes) < 0);
}

static void a_list_is_settled_when_nothing_about_it_changes(void)
{
    struct member_list list = list_of(1);
    CU_ASSERT_FALSE(member_list_is_settled(&list));
    list.min_replicas_before = list.min_replicas;
    CU_ASSERT_TRUE(member_list_is_settled(&list));
    list = list_of(2);
    list.min_replicas_before = list.min_replicas;
    CU_ASSERT_FALSE(member_list_is_settled(&list));
}

static void a_list_is_logged_whole_or_not_at_all(void)
{
    struct fixture f;
    struct member_list list = list_of(MEMBERS_MAX);
    struct operation get = fixture_operation(OPCODE_GET, "k"), set = fixture_operation(OPCODE_SET, "k");
    unsigned times = 0;

    fixture_open(&f, &(struct table_config){.capacity = 100});
    CU_ASSERT_EQUAL(fixture_execute(&f, &set), STATUS_OK);
    uint64_t before_lsn = f.last.lsn;
    while (execute_members(f.context, &list) == STATUS_OK) {
        CU_ASSERT_EQUAL_FATAL(list.first_lsn, before_lsn + times * (uint64_t)MEMBERS_MAX + 1);
        CU_ASSERT_EQUAL_FATAL(list.last_lsn, before_lsn + ++times * (uint64_t)MEMBERS_MAX);
    }
    CU_ASSERT(times > 0);
    f.drained = 0;
    fixture_drain(&f);
    CU_ASSERT_EQUAL(f.drained, times * MEMBERS_MAX);
    CU_ASSERT_EQUAL(f.last.type, LOG_MEMBER);
    CU_ASSERT_EQUAL(f.last.lsn, before_lsn + f.drained);
    CU_ASSERT_EQUAL(execute_members(f.context, &list), STATUS_OK); /* there is room again */
    fixture_drain(&f);
    CU_ASSERT_EQUAL(fixture_execute(&f, &get), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, before_lsn);
    CU_ASSERT_EQUAL(fixture_execute(&f, &set), STATUS_OK);
    CU_ASSERT_EQUAL(f.result.version, list.last_lsn + 1);
    fixture_close(&f);
}

static void starts_stay_within_the_term_of_a_promotion(void)
{
    CU_ASSERT_EQUAL(epoch_of_start(1), 2);
    CU_ASSERT_EQUAL(epoch_of_start(0xfffe), 0xffff);
    CU_ASSERT_EQUAL(epoch_of_start(0xffff), 0);
    CU_ASSERT_EQUAL(epoch_of_promotion(1), 0x10000);
    CU_ASSERT_EQUAL(epoch_of_promotion(0x10000), 0x20000);
    CU_ASSERT_EQUAL(epoch_of_promotion(0x1ffff), 0x20000);
    CU_ASSERT_EQUAL(epoch_of_promotion(0xffff0000), 0);
    for (uint32_t epoch = 1; epoch != 0; epoch = epoch_of_start(epoch))
        CU_ASSERT_FALSE(epoch_may_follow(epoch_of_promotion(1), 7, epoch, 9));
}

static void a_promise_binds_to_one_node_for_a_term(void)
{
    CU_ASSERT_TRUE(epoch_may_follow(0, 0, 1, 9));
    CU_ASSERT_TRUE(epoch_may_follow(0x20000, 7, 0x20000, 7));
    CU_ASSERT_TRUE(epoch_may_follow(0x20000, 7, 0x20005, 7));
    CU_ASSERT_FALSE(epoch_may_follow(0x20000, 7, 0x20000, 9));
    CU_ASSERT_FALSE(epoch_may_follow(0x20000, 7, 0x20005, 9));
    CU_ASSERT_FALSE(epoch_may_follow(0x20005, 7, 0x20004, 7));
    CU_ASSERT_FALSE(epoch_may_follow(0x20000, 7, 0x1ffff, 7));
    CU_ASSERT_TRUE(epoch_may_follow(0x20005, 7, 0x30000, 9));
}

static void one_promise_a_term_and_none_for_the_past(void)
{
    uint32_t two = 0x20000;
    CU_ASSERT_TRUE(epoch_may_promise(0x10005, 0, 0, two, 7));
    CU_ASSERT_TRUE(epoch_may_promise(0x10005, 0x10000, 9, two, 7));
    CU_ASSERT_TRUE(epoch_may_promise(0x10005, two, 7, two, 7)); /* again */
    CU_ASSERT_FALSE(epoch_may_promise(0x10005, two, 9, two, 7));
    CU_ASSERT_FALSE(epoch_may_promise(0x10005, 0x30000, 7, two, 7));
    CU_ASSERT_FALSE(epoch_may_promise(two, 0, 0, two, 7)); /* it has followed that */
    CU_ASSERT_FALSE(epoch_may_promise(0x20003, 0, 0, two, 7));
    CU_ASSERT_FALSE(epoch_may_promise(0x10005, 0, 0, two + 1, 7)); /* a start's: of no promotion */
    CU_ASSERT_FALSE(epoch_may_promise(0, 0, 0, 0, 7));
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"lists of every length come back", lists_of_every_length_come_back},
        {"a list that is not finished never counts", a_list_that_is_not_finished_never_counts},
        {"records of two lists make none", records_of_two_lists_make_none},
        {"a record that is not valid is refused", a_record_that_is_not_valid_is_refused},
        {"a list is settled when nothing about it changes", a_list_is_settled_when_nothing_about_it_changes},
        {"a list is logged whole or not at all", a_list_is_logged_whole_or_not_at_all},
        {"starts stay within the term of a promotion", starts_stay_within_the_term_of_a_promotion},
        {"a promise binds to one node for a term", a_promise_binds_to_one_node_for_a_term},
        {"one promise a term, and none for the past", one_promise_a_term_and_none_for_the_past},
        CU_TEST_INFO_NULL,
    };
    return suite_run("member", tests);
}
