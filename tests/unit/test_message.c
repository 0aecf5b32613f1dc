/* test_message.c - the codec: what is written is read back, what is malformed is refused. */
#include "message.h"

#include <errno.h>
#include <stdlib.h>

#include "suite.h"

static uint8_t some_bytes[KEY_BYTES_MAX + VALUE_BYTES_MAX + 1024];

static struct operation make_operation(unsigned opcode, unsigned flags, unsigned key_length,
                                       unsigned value_length)
{
    return (struct operation){.key = some_bytes,
                              .value = some_bytes + 300,
                              .request_id = 0x1122334455667788,
                              .ttl_ms = 0x99AABBCCDDEEFF00,
                              .version = 0x0123456789ABCDEF,
                              .value_length = (uint16_t)value_length,
                              .key_length = (uint8_t)key_length,
                              .opcode = (uint8_t)opcode,
                              .flags = (uint8_t)flags,
                              .durability = DURABILITY_LOCAL};
}

/* every opcode at its smallest and largest, and with each flag it takes */
static const struct {
    unsigned opcode, flags, key_length, value_length;
} good_operations[] = {
    {OPCODE_GET, 0, 1, 0},
    {OPCODE_GET, FLAG_MIN_LSN, 250, 0},
    {OPCODE_GET, FLAG_MIN_LSN | FLAG_READ_MEMORY, 8, 0},
    {OPCODE_SET, 0, 1, 0},
    {OPCODE_SET, FLAG_IF_ABSENT, 250, 1024},
    {OPCODE_SET, FLAG_IF_PRESENT, 1, 1024},
    {OPCODE_SET, FLAG_IF_VERSION, 250, 0},
    {OPCODE_DELETE, 0, 1, 0},
    {OPCODE_DELETE, FLAG_IF_PRESENT, 250, 0},
    {OPCODE_DELETE, FLAG_IF_VERSION, 20, 0},
    {OPCODE_INCR, 0, 1, 16},
    {OPCODE_INCR, FLAG_IF_ABSENT, 250, 16},
    {OPCODE_INCR, FLAG_IF_PRESENT, 9, 16},
    {OPCODE_INCR, FLAG_IF_VERSION, 9, 16},
    {OPCODE_TOUCH, 0, 1, 0},
    {OPCODE_TOUCH, FLAG_IF_PRESENT, 250, 0},
    {OPCODE_TOUCH, FLAG_IF_VERSION, 9, 0},
    {OPCODE_FLUSH, 0, 0, 0},
    {OPCODE_ECHO, 0, 0, 0},
    {OPCODE_ECHO, 0, 0, 1024},
    {OPCODE_HEALTH, 0, 0, 0},
};
enum { GOOD_OPERATIONS = sizeof good_operations / sizeof good_operations[0] };

static struct operation good_operation(unsigned i)
{
    return make_operation(good_operations[i].opcode, good_operations[i].flags, good_operations[i].key_length,
                          good_operations[i].value_length);
}

static const struct message_header some_header = {
    .version = 1, .epoch = 0xAABBCCDD, .history = 0x1020304050607080};

/* An exact-size heap copy, so that the address sanitizer sees any read beyond the end. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = malloc(length > 0 ? length : 1);
    if (length > 0)
        memcpy(copy, bytes, length);
    return copy;
}

static size_t encode_one(uint8_t *out, const struct operation *operation)
{
    struct message_writer writer;
    CU_ASSERT_EQUAL(message_begin(&writer, out, MESSAGE_BYTES_MAX), 0);
    CU_ASSERT_EQUAL(message_add_operation(&writer, operation), 0);
    return message_finish(&writer, &some_header);
}

static void check_same_operation(const struct operation *a, const struct operation *b)
{
    CU_ASSERT_EQUAL(a->opcode, b->opcode);
    CU_ASSERT_EQUAL(a->flags, b->flags);
    CU_ASSERT_EQUAL(a->durability, b->durability);
    CU_ASSERT_EQUAL(a->reserved, b->reserved);
    CU_ASSERT_EQUAL(a->request_id, b->request_id);
    CU_ASSERT_EQUAL(a->ttl_ms, b->ttl_ms);
    CU_ASSERT_EQUAL(a->version, b->version);
    CU_ASSERT_EQUAL_FATAL(a->key_length, b->key_length);
    CU_ASSERT_EQUAL_FATAL(a->value_length, b->value_length);
    CU_ASSERT_EQUAL(memcmp(a->key, b->key, a->key_length), 0);
    CU_ASSERT_EQUAL(memcmp(a->value, b->value, a->value_length), 0);
}

static void every_operation_reads_back_as_written(void)
{
    for (unsigned i = 0; i < GOOD_OPERATIONS; i++) {
        uint8_t bytes[MESSAGE_BYTES_MAX];
        struct operation in = good_operation(i), out;
        size_t length = encode_one(bytes, &in);
        CU_ASSERT_EQUAL(length, MESSAGE_HEADER_BYTES + operation_bytes(&in));
        CU_ASSERT_EQUAL(operation_check(&in), STATUS_OK);

        struct message_reader reader;
        struct message_header header;
        CU_ASSERT_EQUAL_FATAL(message_open(&reader, &header, bytes, length, false), 0);
        CU_ASSERT_EQUAL(header.version, 1);
        CU_ASSERT_EQUAL(header.count, 1);
        CU_ASSERT_EQUAL(header.epoch, some_header.epoch);
        CU_ASSERT_EQUAL(header.history, some_header.history);
        CU_ASSERT_EQUAL_FATAL(message_next_operation(&reader, &out), 1);
        check_same_operation(&in, &out);
        CU_ASSERT_EQUAL(message_next_operation(&reader, &out), 0);
        CU_ASSERT_EQUAL(message_next_operation(&reader, &out), 0);
    }
}

static void the_bytes_stand_where_the_offset_table_says(void)
{
    static const uint8_t key[2] = {'k', 'y'}, value[3] = {'v', 'a', 'l'};
    struct operation operation = {.key = key,
                                  .value = value,
                                  .request_id = 0x0807060504030201,
                                  .ttl_ms = 0x1817161514131211,
                                  .version = 0x2827262524232221,
                                  .value_length = 3,
                                  .key_length = 2,
                                  .opcode = OPCODE_SET,
                                  .flags = FLAG_IF_VERSION,
                                  .durability = DURABILITY_REPLICATED};
    static const uint8_t expected[] = {1,    0,    1,    0,    0xDD, 0xCC, 0xBB, 0xAA, 0x80, 0x70, 0x60,
                                       0x50, 0x40, 0x30, 0x20, 0x10, 2,    4,    2,    3,    3,    0,
                                       0,    0,    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x11,
                                       0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x21, 0x22, 0x23, 0x24,
                                       0x25, 0x26, 0x27, 0x28, 'k',  'y',  'v',  'a',  'l'};
    uint8_t bytes[MESSAGE_BYTES_MAX];
    CU_ASSERT_EQUAL_FATAL(encode_one(bytes, &operation), sizeof expected);
    CU_ASSERT_EQUAL(memcmp(bytes, expected, sizeof expected), 0);

    static const uint8_t expected_reply[] = {1,    0,    1,    0,    0xDD, 0xCC, 0xBB, 0xAA, 0x80, 0x70, 0x60,
                                             0x50, 0x40, 0x30, 0x20, 0x10, 1,    0,    3,    0,    0,    0,
                                             0,    0,    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x21,
                                             0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 'v',  'a',  'l'};
    struct reply reply = {.value = value,
                          .request_id = 0x0807060504030201,
                          .version = 0x2827262524232221,
                          .value_length = 3,
                          .opcode = OPCODE_GET,
                          .status = STATUS_OK};
    struct message_writer writer;
    message_begin(&writer, bytes, sizeof bytes);
    CU_ASSERT_EQUAL(message_add_reply(&writer, &reply), 0);
    CU_ASSERT_EQUAL_FATAL(message_finish(&writer, &some_header), sizeof expected_reply);
    CU_ASSERT_EQUAL(memcmp(bytes, expected_reply, sizeof expected_reply), 0);
}

static void every_reply_reads_back_as_written(void)
{
    static const unsigned lengths[] = {0, 1, INCR_RESULT_BYTES, HEALTH_REPLY_BYTES, VALUE_BYTES_MAX};
    for (unsigned status = 0; status < STATUS_COUNT; status++)
        for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            uint8_t bytes[MESSAGE_BYTES_MAX];
            struct reply out, in = {.value = some_bytes,
                                    .request_id = 7 + i,
                                    .version = UINT64_MAX - i,
                                    .value_length = (uint16_t)lengths[i],
                                    .opcode = OPCODE_HEALTH,
                                    .status = (uint8_t)status};
            struct message_writer writer;
            message_begin(&writer, bytes, sizeof bytes);
            CU_ASSERT_EQUAL(message_add_reply(&writer, &in), 0);
            size_t length = message_finish(&writer, &some_header);

            struct message_reader reader;
            struct message_header header;
            CU_ASSERT_EQUAL_FATAL(message_open(&reader, &header, bytes, length, false), 0);
            CU_ASSERT_EQUAL_FATAL(message_next_reply(&reader, &out), 1);
            CU_ASSERT_EQUAL(out.status, status);
            CU_ASSERT_EQUAL(out.opcode, in.opcode);
            CU_ASSERT_EQUAL(out.request_id, in.request_id);
            CU_ASSERT_EQUAL(out.version, in.version);
            CU_ASSERT_EQUAL_FATAL(out.value_length, in.value_length);
            CU_ASSERT_EQUAL(memcmp(out.value, in.value, in.value_length), 0);
            CU_ASSERT_EQUAL(message_next_reply(&reader, &out), 0);
        }
}

static size_t encode_batch(uint8_t *out, unsigned count)
{
    struct message_writer writer;
    message_begin(&writer, out, MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < count; i++) {
        struct operation operation = make_operation(OPCODE_SET, 0, 1 + i, i);
        operation.request_id = i;
        CU_ASSERT_EQUAL_FATAL(message_add_operation(&writer, &operation), 0);
    }
    return message_finish(&writer, &some_header);
}

/* -EBADMSG wherever it is found, or the number of entries. */
static int count_operations(const uint8_t *bytes, size_t length, bool allow_padding)
{
    struct message_reader reader;
    struct message_header header;
    struct operation operation;
    int count = 0, outcome = message_open(&reader, &header, bytes, length, allow_padding);
    if (outcome != 0)
        return outcome;
    while ((outcome = message_next_operation(&reader, &operation)) == 1)
        count++;
    return outcome == 0 ? count : outcome;
}

static void a_batch_reads_back_in_order(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t length = encode_batch(bytes, 20);
    struct message_reader reader;
    struct message_header header;
    struct operation operation;
    CU_ASSERT_EQUAL_FATAL(message_open(&reader, &header, bytes, length, false), 0);
    CU_ASSERT_EQUAL(header.count, 20);
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL_FATAL(message_next_operation(&reader, &operation), 1);
        CU_ASSERT_EQUAL(operation.request_id, i);
        CU_ASSERT_EQUAL(operation.key_length, 1 + i);
        CU_ASSERT_EQUAL(operation.value_length, i);
    }
    CU_ASSERT_EQUAL(message_next_operation(&reader, &operation), 0);
}

static void every_truncation_is_refused(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t length = encode_batch(bytes, 5);
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *copy = exact_copy(bytes, cut);
        CU_ASSERT_EQUAL(count_operations(copy, cut, false), -EBADMSG);
        CU_ASSERT_EQUAL(count_operations(copy, cut, true), -EBADMSG);
        free(copy);
    }
    CU_ASSERT_EQUAL(count_operations(bytes, length, false), 5);
}

static void bytes_after_the_last_operation_are_refused_unless_padding_is_allowed(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX + 64] = {0};
    size_t length = encode_batch(bytes, 3);
    CU_ASSERT_EQUAL(count_operations(bytes, length + 1, false), -EBADMSG);
    CU_ASSERT_EQUAL(count_operations(bytes, length + 1, true), 3);
    CU_ASSERT_EQUAL(count_operations(bytes, length + 40, true), 3);
    bytes[length + 39] = 1;
    CU_ASSERT_EQUAL(count_operations(bytes, length + 39, true), 3);
    CU_ASSERT_EQUAL(count_operations(bytes, length + 40, true), -EBADMSG);
}

static void a_header_out_of_order_is_refused(void)
{
    static const struct {
        size_t at;
        uint8_t value;
    } damages[] = {{0, 0}, {0, 2}, {1, 1}, {2, 0}, {2, 6}, {3, 1}};
    for (unsigned i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        uint8_t bytes[MESSAGE_BYTES_MAX];
        size_t length = encode_batch(bytes, 5);
        bytes[damages[i].at] = damages[i].value;
        CU_ASSERT_EQUAL(count_operations(bytes, length, true), -EBADMSG);
    }
    uint8_t bytes[MESSAGE_BYTES_MAX];
    struct message_writer writer;
    message_begin(&writer, bytes, sizeof bytes);
    size_t length = message_finish(&writer, &some_header); /* no operation at all */
    CU_ASSERT_EQUAL(count_operations(bytes, length, false), -EBADMSG);
}

static void a_reader_stays_at_its_error(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    size_t length = encode_batch(bytes, 2);
    struct message_reader reader;
    struct message_header header;
    struct operation operation;
    CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, length - 1, false), 0);
    CU_ASSERT_EQUAL(message_next_operation(&reader, &operation), 1);
    CU_ASSERT_EQUAL(message_next_operation(&reader, &operation), -EBADMSG);
    CU_ASSERT_EQUAL(message_next_operation(&reader, &operation), -EBADMSG);
    CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, 15, false), -EBADMSG);
    CU_ASSERT_EQUAL(message_next_operation(&reader, &operation), -EBADMSG);

    /* two bare replies: a good one after a bad one does not count */
    struct reply reply = {.opcode = OPCODE_SET};
    struct message_writer writer;
    message_begin(&writer, bytes, sizeof bytes);
    message_add_reply(&writer, &reply);
    message_add_reply(&writer, &reply);
    length = message_finish(&writer, &some_header);
    bytes[MESSAGE_HEADER_BYTES + 4] = 1;
    CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, length, false), 0);
    CU_ASSERT_EQUAL(message_next_reply(&reader, &reply), -EBADMSG);
    CU_ASSERT_EQUAL(message_next_reply(&reader, &reply), -EBADMSG);
}

static void a_reply_with_reserved_bits_or_an_oversized_value_is_refused(void)
{
    static uint8_t value[VALUE_BYTES_MAX + 1];
    uint8_t bytes[2048];
    for (unsigned damage = 0; damage < 6; damage++) {
        struct reply out, in = {.value = value, .value_length = VALUE_BYTES_MAX, .opcode = OPCODE_GET};
        if (damage == 5)
            in.value_length++;
        struct message_writer writer;
        message_begin(&writer, bytes, sizeof bytes);
        CU_ASSERT_EQUAL(message_add_reply(&writer, &in), 0);
        size_t length = message_finish(&writer, &some_header);
        if (damage >= 1 && damage <= 4)
            bytes[MESSAGE_HEADER_BYTES + 3 + damage] = 0x80;
        struct message_reader reader;
        struct message_header header;
        CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, length, false), 0);
        CU_ASSERT_EQUAL(message_next_reply(&reader, &out), damage == 0 ? 1 : -EBADMSG);
    }
}

static void operations_out_of_order_get_a_status_of_their_own(void)
{
    static const struct {
        unsigned opcode, flags, key_length, value_length, durability, reserved;
        enum status expected;
    } rows[] = {
        {0, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {9, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {255, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        /* unknown flags, flags of other opcodes, two conditions */
        {OPCODE_GET, 0x20, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_GET, 0x80, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_GET, FLAG_IF_PRESENT, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, FLAG_MIN_LSN, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, FLAG_READ_MEMORY, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, FLAG_IF_ABSENT | FLAG_IF_PRESENT, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, FLAG_IF_PRESENT | FLAG_IF_VERSION, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, FLAG_CONDITIONS, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_DELETE, FLAG_IF_ABSENT, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_TOUCH, FLAG_IF_ABSENT, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_FLUSH, FLAG_IF_PRESENT, 0, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_ECHO, FLAG_READ_MEMORY, 0, 4, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_HEALTH, FLAG_MIN_LSN, 0, 0, 0, 0, STATUS_BAD_REQUEST},
        /* lengths that the opcode does not take */
        {OPCODE_GET, 0, 0, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_GET, 0, 1, 1, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, 0, 0, 1, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_DELETE, 0, 0, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_DELETE, 0, 1, 1, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_INCR, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_INCR, 0, 1, 15, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_INCR, 0, 1, 17, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_INCR, 0, 0, 16, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_TOUCH, 0, 0, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_TOUCH, 0, 1, 1, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_FLUSH, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_FLUSH, 0, 0, 1, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_ECHO, 0, 1, 4, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_HEALTH, 0, 1, 0, 0, 0, STATUS_BAD_REQUEST},
        {OPCODE_HEALTH, 0, 0, 1, 0, 0, STATUS_BAD_REQUEST},
        /* beyond the limits */
        {OPCODE_GET, 0, 251, 0, 0, 0, STATUS_TOO_LARGE},
        {OPCODE_SET, 0, 255, 0, 0, 0, STATUS_TOO_LARGE},
        {OPCODE_SET, 0, 1, 1025, 0, 0, STATUS_TOO_LARGE},
        {OPCODE_ECHO, 0, 0, 1025, 0, 0, STATUS_TOO_LARGE},
        /* durability and reserved */
        {OPCODE_SET, 0, 1, 1, 3, 0, STATUS_OK},
        {OPCODE_SET, 0, 1, 1, 4, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, 0, 1, 1, 255, 0, STATUS_BAD_REQUEST},
        {OPCODE_SET, 0, 1, 1, 0, 1, STATUS_BAD_REQUEST},
        {OPCODE_GET, 0, 1, 0, 0, 0x8000, STATUS_BAD_REQUEST},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct operation in, out;
        in = make_operation(rows[i].opcode, rows[i].flags, rows[i].key_length, rows[i].value_length);
        in.durability = (uint8_t)rows[i].durability;
        in.reserved = (uint16_t)rows[i].reserved;

        /* through the wire: the message as such stays valid */
        uint8_t bytes[MESSAGE_BYTES_MAX];
        size_t length = encode_one(bytes, &in);
        struct message_reader reader;
        struct message_header header;
        CU_ASSERT_EQUAL_FATAL(message_open(&reader, &header, bytes, length, false), 0);
        CU_ASSERT_EQUAL_FATAL(message_next_operation(&reader, &out), 1);
        CU_ASSERT_EQUAL(message_next_operation(&reader, &in), 0);
        CU_ASSERT_EQUAL(operation_check(&out), rows[i].expected);
    }
}

static void every_operation_byte_is_either_accepted_or_refused_alone(void)
{
    for (unsigned at = 0; at < 8; at++) /* the fields that operation_check() judges */
        for (unsigned bit = 0; bit < 8; bit++) {
            uint8_t bytes[MESSAGE_BYTES_MAX] = {0};
            struct operation in = make_operation(OPCODE_HEALTH, 0, 0, 0), out;
            encode_one(bytes, &in);
            bytes[MESSAGE_HEADER_BYTES + at] ^= (uint8_t)(1u << bit);
            struct message_reader reader;
            struct message_header header;
            CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, sizeof bytes, true), 0);
            int outcome = message_next_operation(&reader, &out);
            bool harmless = at == 3 && bit < 2; /* DURABILITY_LOCAL becomes another known level */
            if (outcome == 1)
                CU_ASSERT_EQUAL(operation_check(&out) == STATUS_OK, harmless);
        }
}

static void a_full_writer_refuses_and_changes_nothing(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX];
    struct message_writer writer;
    CU_ASSERT_EQUAL(message_begin(&writer, bytes, MESSAGE_HEADER_BYTES - 1), -ENOSPC);
    CU_ASSERT_EQUAL(message_begin(&writer, bytes, MESSAGE_HEADER_BYTES + OPERATION_HEADER_BYTES + 5), 0);
    struct operation fits = make_operation(OPCODE_SET, 0, 1, 4);
    struct operation too_large = make_operation(OPCODE_SET, 0, 1, 5);
    memset(bytes + 16, 0xEE, sizeof bytes - 16);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &too_large), -ENOSPC);
    CU_ASSERT_EQUAL(bytes[16], 0xEE);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &fits), 0);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &fits), -ENOSPC);
    size_t length = message_finish(&writer, &some_header);
    CU_ASSERT_EQUAL(count_operations(bytes, length, false), 1);
    CU_ASSERT_EQUAL(bytes[length], 0xEE);
}

static void the_largest_message_holds_exactly_the_documented_count(void)
{
    static uint8_t bytes[2 * RECORD_MESSAGE_BYTES_MAX];
    struct message_writer writer;
    struct operation bare = make_operation(OPCODE_HEALTH, 0, 0, 0);
    message_begin(&writer, bytes, MESSAGE_BYTES_MAX);
    for (unsigned i = 0; i < DATAGRAM_OPERATIONS_MAX; i++)
        CU_ASSERT_EQUAL(message_add_operation(&writer, &bare), 0);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &bare), -ENOSPC);
    message_begin(&writer, bytes, sizeof bytes);
    for (unsigned i = 0; i < MESSAGE_OPERATIONS_MAX; i++)
        CU_ASSERT_EQUAL(message_add_operation(&writer, &bare), 0);
    CU_ASSERT_EQUAL(message_add_operation(&writer, &bare), -ENOSPC);
    size_t length = message_finish(&writer, &some_header);
    CU_ASSERT_TRUE(length <= RECORD_MESSAGE_BYTES_MAX);
    CU_ASSERT_EQUAL(count_operations(bytes, length, false), MESSAGE_OPERATIONS_MAX);
}

static void a_reply_value_may_stand_in_place_or_overlap(void)
{
    uint8_t bytes[MESSAGE_BYTES_MAX], value[100];
    for (unsigned shift = 0; shift < 64; shift++) {
        struct message_writer writer;
        size_t room;
        message_begin(&writer, bytes, sizeof bytes);
        uint8_t *place = message_reply_value(&writer, &room);
        CU_ASSERT_PTR_NOT_NULL_FATAL(place);
        CU_ASSERT_EQUAL(room, VALUE_BYTES_MAX);
        memcpy(value, some_bytes, sizeof value);
        uint8_t *from = bytes + MESSAGE_HEADER_BYTES + shift; /* shift 24: exactly in place */
        memcpy(from, value, sizeof value);
        struct reply out, in = {.value = from, .value_length = sizeof value, .request_id = 9};
        CU_ASSERT_EQUAL(message_add_reply(&writer, &in), 0);
        size_t length = message_finish(&writer, &some_header);

        struct message_reader reader;
        struct message_header header;
        CU_ASSERT_EQUAL(message_open(&reader, &header, bytes, length, false), 0);
        CU_ASSERT_EQUAL_FATAL(message_next_reply(&reader, &out), 1);
        CU_ASSERT_EQUAL(out.request_id, 9);
        CU_ASSERT_EQUAL(memcmp(out.value, value, sizeof value), 0);
    }
    struct message_writer writer;
    size_t room;
    message_begin(&writer, bytes, MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES + 10);
    CU_ASSERT_PTR_EQUAL(message_reply_value(&writer, &room), bytes + 40);
    CU_ASSERT_EQUAL(room, 10);
    message_begin(&writer, bytes, MESSAGE_HEADER_BYTES + REPLY_HEADER_BYTES - 1);
    CU_ASSERT_PTR_NULL(message_reply_value(&writer, &room));
}

static void operands_results_and_health_read_back(void)
{
    static const int64_t numbers[] = {0, 1, -1, INT64_MAX, INT64_MIN};
    for (unsigned i = 0; i < 5; i++)
        for (unsigned j = 0; j < 5; j++) {
            uint8_t bytes[INCR_OPERAND_BYTES];
            int64_t delta, initial;
            incr_operand_encode(bytes, numbers[i], numbers[j]);
            CU_ASSERT_TRUE(incr_operand_decode(bytes, sizeof bytes, &delta, &initial));
            CU_ASSERT_EQUAL(delta, numbers[i]);
            CU_ASSERT_EQUAL(initial, numbers[j]);
            CU_ASSERT_FALSE(incr_operand_decode(bytes, sizeof bytes - 1, &delta, &initial));
            incr_result_encode(bytes, numbers[i]);
            CU_ASSERT_TRUE(incr_result_decode(bytes, INCR_RESULT_BYTES, &delta));
            CU_ASSERT_EQUAL(delta, numbers[i]);
            CU_ASSERT_FALSE(incr_result_decode(bytes, INCR_RESULT_BYTES + 1, &delta));
        }

    struct health out, in = {.lsn = UINT64_C(1) << 63,
                             .items = 2,
                             .capacity = 3,
                             .lines_used = 4,
                             .uptime_ms = 5,
                             .epoch = 6,
                             .mode = MODE_REPLICA,
                             .state = STATE_DRAINING};
    uint8_t bytes[HEALTH_REPLY_BYTES];
    health_encode(bytes, &in);
    CU_ASSERT_TRUE(health_decode(bytes, sizeof bytes, &out));
    CU_ASSERT_TRUE(in.lsn == out.lsn && in.items == out.items && in.capacity == out.capacity &&
                   in.lines_used == out.lines_used && in.uptime_ms == out.uptime_ms &&
                   in.epoch == out.epoch && in.mode == out.mode && in.state == out.state);
    CU_ASSERT_FALSE(health_decode(bytes, sizeof bytes - 1, &out));
    bytes[2] = 1;
    CU_ASSERT_FALSE(health_decode(bytes, sizeof bytes, &out));
}

static void statuses_have_names(void)
{
    CU_ASSERT_STRING_EQUAL(status_name(STATUS_OK), "OK");
    CU_ASSERT_STRING_EQUAL(status_name(STATUS_AUTH), "AUTH");
    CU_ASSERT_STRING_EQUAL(status_name(STATUS_COUNT), "?");
    CU_ASSERT_STRING_EQUAL(status_meaning(STATUS_NOT_FOUND), "no such key");
    CU_ASSERT_STRING_EQUAL(status_meaning(4711), "?");
}

int main(void)
{
    for (unsigned i = 0; i < sizeof some_bytes; i++)
        some_bytes[i] = (uint8_t)(i * 131 + 7);
    CU_TestInfo tests[] = {
        {"every operation reads back as written", every_operation_reads_back_as_written},
        {"the bytes stand where the offset table says", the_bytes_stand_where_the_offset_table_says},
        {"every reply reads back as written", every_reply_reads_back_as_written},
        {"a batch reads back in order", a_batch_reads_back_in_order},
        {"every truncation is refused", every_truncation_is_refused},
        {"bytes after the last operation are refused unless they are allowed padding",
         bytes_after_the_last_operation_are_refused_unless_padding_is_allowed},
        {"a header out of order is refused", a_header_out_of_order_is_refused},
        {"a reader stays at its error", a_reader_stays_at_its_error},
        {"a reply with reserved bits or an oversized value is refused",
         a_reply_with_reserved_bits_or_an_oversized_value_is_refused},
        {"operations out of order get a status of their own",
         operations_out_of_order_get_a_status_of_their_own},
        {"every operation byte is either accepted or refused alone",
         every_operation_byte_is_either_accepted_or_refused_alone},
        {"a full writer refuses and changes nothing", a_full_writer_refuses_and_changes_nothing},
        {"the largest message holds exactly the documented count",
         the_largest_message_holds_exactly_the_documented_count},
        {"a reply value may stand in place or overlap", a_reply_value_may_stand_in_place_or_overlap},
        {"operands, results and health read back", operands_results_and_health_read_back},
        {"statuses have names", statuses_have_names},
        CU_TEST_INFO_NULL,
    };
    return suite_run("message", tests);
}
