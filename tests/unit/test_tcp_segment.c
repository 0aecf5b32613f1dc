/*
 * test_tcp_segment.c - header and options: what is written is read again, what is malformed stops the reading
 * and never goes beyond the header.
 */
#include "tcp/tcp_segment.h"

#include <stdio.h>
#include <stdlib.h>

#include "seeded.h"
#include "suite.h"

static const struct flow FLOW = {.peer_port = RTE_BE16(40000), .local_port = RTE_BE16(7878)};

/* Reads a segment from memory of exactly its length, so that a sanitizer sees what goes beyond. */
static bool decode(struct tcp_segment *out, const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length > 0 ? length : 1);
    memcpy(exact, bytes, length);
    struct tcp_arrival arrival = {.header = exact, .length = (uint16_t)length};
    memset(out, 0xA5, sizeof *out);
    bool decoded = tcp_segment_decode(out, &arrival);
    if (decoded)
        tcp_options_decode(&out->options, out, exact);
    free(exact);
    return decoded;
}

/* A header with these flags and raw option bytes, padded with what follows them to whole words. */
static bool decode_options(struct tcp_segment *out, unsigned flags, const uint8_t *options, size_t length)
{
    uint8_t bytes[60] = {0};
    size_t padded = (length + 3) / 4 * 4;
    bytes[12] = (uint8_t)((20 + padded) / 4 << 4);
    bytes[13] = (uint8_t)flags;
    memcpy(bytes + 20, options, length);
    return decode(out, bytes, 20 + padded);
}

static void a_header_is_read_field_by_field(void)
{
    static const uint8_t bytes[] = {0x9C, 0x40, 0x1E, 0xC6, 0x01, 0x02, 0x03, 0x04, 0xA1, 0xA2, 0xA3,
                                    0xA4, 0x50, 0x18, 0x12, 0x34, 0xBE, 0xEF, 0x55, 0x66, 'h',  'i'};
    struct tcp_segment segment;
    CU_ASSERT_FATAL(decode(&segment, bytes, sizeof bytes));
    CU_ASSERT_EQUAL(segment.seq, 0x01020304);
    CU_ASSERT_EQUAL(segment.ack, 0xA1A2A3A4);
    CU_ASSERT_EQUAL(segment.flags, TCP_ACK | TCP_PSH);
    CU_ASSERT_EQUAL(segment.window, 0x1234);
    CU_ASSERT_EQUAL(segment.header_bytes, 20);
    CU_ASSERT_EQUAL(segment.payload_bytes, 2);
    CU_ASSERT_EQUAL(tcp_segment_length(&segment), 2);
    segment.flags = TCP_SYN | TCP_FIN;
    CU_ASSERT_EQUAL(tcp_segment_length(&segment), 4);
}

static void every_wrong_length_and_data_offset_is_refused(void)
{
    uint8_t bytes[64] = {0};
    struct tcp_segment segment;
    for (unsigned words = 0; words < 16; words++) {
        bytes[12] = (uint8_t)(words << 4 | 0xF); /* the reserved bits mean nothing */
        for (size_t length = 0; length <= sizeof bytes; length++) {
            bool right = length >= 20 && words >= 5 && words * 4 <= length;
            CU_ASSERT_EQUAL(decode(&segment, bytes, length), right);
        }
    }
}

static void each_option_is_read(void)
{
    static const uint8_t all[] = {2, 4, 0x05, 0xB4, 1, 3, 3, 7, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8};
    struct tcp_segment segment;
    CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, all, sizeof all));
    CU_ASSERT_EQUAL(segment.options.mss, 1460);
    CU_ASSERT(segment.options.has_window_scale);
    CU_ASSERT_EQUAL(segment.options.window_shift, 7);
    CU_ASSERT(segment.options.sack_permitted);
    CU_ASSERT(segment.options.has_timestamps);
    CU_ASSERT_EQUAL(segment.options.ts_value, 0x01020304);
    CU_ASSERT_EQUAL(segment.options.ts_echo, 0x05060708);
    CU_ASSERT_EQUAL(segment.options.sack_blocks, 0);

    static const uint8_t sack[] = {5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0, 0, 3, 0, 0, 0, 4};
    CU_ASSERT_FATAL(decode_options(&segment, TCP_ACK, sack, sizeof sack));
    CU_ASSERT_EQUAL_FATAL(segment.options.sack_blocks, 2);
    CU_ASSERT_EQUAL(segment.options.sack[0].start, 1);
    CU_ASSERT_EQUAL(segment.options.sack[0].end, 2);
    CU_ASSERT_EQUAL(segment.options.sack[1].start, 0xFF000003);
    CU_ASSERT_EQUAL(segment.options.sack[1].end, 4);
}

static void options_of_a_syn_count_on_a_syn_alone(void)
{
    static const uint8_t all[] = {2, 4, 0x05, 0xB4, 3, 3, 7, 4, 2};
    static const uint8_t sack[] = {5, 10, 0, 0, 0, 1, 0, 0, 0, 2};
    struct tcp_segment segment;
    CU_ASSERT_FATAL(decode_options(&segment, TCP_ACK, all, sizeof all));
    CU_ASSERT_EQUAL(segment.options.mss, 0);
    CU_ASSERT(!segment.options.has_window_scale && !segment.options.sack_permitted);
    CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, sack, sizeof sack));
    CU_ASSERT_EQUAL(segment.options.sack_blocks, 0);
}

static void a_shift_above_14_counts_as_14(void)
{
    struct tcp_segment segment;
    for (unsigned shift = 0; shift < 256; shift++) {
        uint8_t option[] = {3, 3, (uint8_t)shift};
        CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, option, sizeof option));
        CU_ASSERT_EQUAL(segment.options.window_shift, shift < 14 ? shift : 14);
    }
}

static void lengths_of_0_and_1_end_the_reading(void)
{
    struct tcp_segment segment;
    for (unsigned kind = 2; kind < 256; kind++) {
        for (unsigned length = 0; length < 2; length++) {
            /* what stands before counts, what follows does not */
            uint8_t options[] = {4, 2, (uint8_t)kind, (uint8_t)length, 2, 4, 5, 6};
            CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, options, sizeof options));
            CU_ASSERT(segment.options.sack_permitted);
            CU_ASSERT_EQUAL(segment.options.mss, 0);
        }
    }
}

static void every_option_of_a_wrong_length_is_passed_over(void)
{
    static const struct {
        uint8_t kind, right;
    } known[] = {{2, 4}, {3, 3}, {4, 2}, {8, 10}};
    struct tcp_segment segment;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        for (unsigned length = 2; length <= 30; length++) {
            uint8_t options[34] = {known[i].kind, (uint8_t)length};
            options[2] = 5;
            options[length] = 1;
            if (length + 4 <= sizeof options)
                memcpy(options + length, (const uint8_t[]){2, 4, 1, 2}, 4); /* the next is read */
            CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, options, length + 4));
            bool right = length == known[i].right;
            CU_ASSERT_EQUAL(segment.options.mss, 0x0102);
            CU_ASSERT_EQUAL(segment.options.has_window_scale, right && known[i].kind == 3);
            CU_ASSERT_EQUAL(segment.options.sack_permitted, right && known[i].kind == 4);
            CU_ASSERT_EQUAL(segment.options.has_timestamps, right && known[i].kind == 8);
        }
    }
    for (unsigned length = 2; length <= 38; length++) {
        uint8_t sack[40] = {5, (uint8_t)length};
        CU_ASSERT_FATAL(decode_options(&segment, TCP_ACK, sack, sizeof sack));
        CU_ASSERT_EQUAL(segment.options.sack_blocks,
                        length >= 10 && (length - 2) % 8 == 0 ? (length - 2) / 8 : 0);
    }
}

static void every_option_cut_short_ends_the_reading(void)
{
    static const uint8_t kinds[] = {2, 3, 4, 5, 8, 253};
    static const uint8_t lengths[] = {4, 3, 2, 34, 10, 12};
    struct tcp_segment segment;
    for (size_t i = 0; i < sizeof kinds; i++) {
        /* NOPs in front, so that fewer bytes than the option's length remain in the header */
        for (unsigned left = 1; left < lengths[i] && left <= 40; left++) {
            uint8_t options[40];
            memset(options, 1, sizeof options);
            options[40 - left] = kinds[i];
            if (left > 1)
                options[41 - left] = lengths[i];
            CU_ASSERT_FATAL(
                decode_options(&segment, kinds[i] == 5 ? TCP_ACK : TCP_SYN, options, sizeof options));
            CU_ASSERT_EQUAL(segment.options.mss, 0);
            CU_ASSERT_EQUAL(segment.options.sack_blocks, 0);
            CU_ASSERT(!segment.options.has_window_scale && !segment.options.sack_permitted &&
                      !segment.options.has_timestamps);
        }
    }
}

static void nothing_behind_the_end_counts(void)
{
    static const uint8_t options[] = {1, 0, 4, 2, 2, 4, 5, 6};
    struct tcp_segment segment;
    CU_ASSERT_FATAL(decode_options(&segment, TCP_SYN, options, sizeof options));
    CU_ASSERT(!segment.options.sack_permitted);
    CU_ASSERT_EQUAL(segment.options.mss, 0);
}

/* Writes these options in front of two bytes of payload and reads them again. */
static void round_trip(unsigned flags, const struct tcp_options *options, struct tcp_segment *out)
{
    uint8_t bytes[64];
    memset(bytes, 0xEE, sizeof bytes);
    struct tcp_header header = {
        .seq = 0xFFFFFFF0, .ack = 0x80000001, .window = 0xFEDC, .flags = (uint8_t)flags};
    uint8_t *end = bytes + 62, *start = tcp_header_write(end, &FLOW, &header, options);
    CU_ASSERT_EQUAL_FATAL((size_t)(end - start), TCP_HEADER_BYTES + tcp_options_bytes(options));
    CU_ASSERT_EQUAL((end - start) % 4, 0);
    CU_ASSERT(start >= bytes + 2 && bytes[1] == 0xEE && bytes[62] == 0xEE);
    CU_ASSERT_FATAL(decode(out, start, (size_t)(end + 2 - start)));
    CU_ASSERT_EQUAL(out->seq, header.seq);
    CU_ASSERT_EQUAL(out->ack, header.ack);
    CU_ASSERT_EQUAL(out->window, header.window);
    CU_ASSERT_EQUAL(out->flags, flags);
    CU_ASSERT_EQUAL(out->payload_bytes, 2);
    const struct rte_tcp_hdr *raw = (const struct rte_tcp_hdr *)start;
    CU_ASSERT_EQUAL(raw->src_port, FLOW.local_port);
    CU_ASSERT_EQUAL(raw->dst_port, FLOW.peer_port);
    CU_ASSERT_EQUAL(raw->cksum, 0);
    CU_ASSERT_EQUAL(raw->tcp_urp, 0);
}

static void what_is_written_is_read_again(void)
{
    for (unsigned mask = 0; mask < 16; mask++) {
        struct tcp_options options = {
            .mss = mask & 1 ? 1460 : 0,
            .has_window_scale = mask & 2,
            .window_shift = mask & 2 ? 9 : 0,
            .sack_permitted = mask & 4,
            .has_timestamps = mask & 8,
            .ts_value = mask & 8 ? 0x89ABCDEF : 0,
            .ts_echo = mask & 8 ? 0x01234567 : 0,
        };
        struct tcp_segment segment;
        round_trip(TCP_SYN, &options, &segment);
        CU_ASSERT_EQUAL(segment.options.mss, options.mss);
        CU_ASSERT_EQUAL(segment.options.has_window_scale, options.has_window_scale);
        CU_ASSERT_EQUAL(segment.options.window_shift, options.window_shift);
        CU_ASSERT_EQUAL(segment.options.sack_permitted, options.sack_permitted);
        CU_ASSERT_EQUAL(segment.options.has_timestamps, options.has_timestamps);
        CU_ASSERT_EQUAL(segment.options.ts_value, options.ts_value);
        CU_ASSERT_EQUAL(segment.options.ts_echo, options.ts_echo);
    }
}

static void sack_blocks_that_do_not_fit_are_left_out(void)
{
    for (unsigned stamps = 0; stamps < 2; stamps++) {
        for (unsigned blocks = 0; blocks <= TCP_SACK_BLOCKS_RECEIVED_MAX; blocks++) {
            struct tcp_options options = {.has_timestamps = stamps, .sack_blocks = (uint8_t)blocks};
            for (unsigned i = 0; i < blocks; i++)
                options.sack[i] = (struct tcp_sack_block){.start = 100 * i, .end = 100 * i + 0x80000050};
            struct tcp_segment segment;
            round_trip(TCP_ACK, &options, &segment);
            unsigned most = stamps ? 3 : 4;
            CU_ASSERT_EQUAL_FATAL(segment.options.sack_blocks, blocks < most ? blocks : most);
            for (unsigned i = 0; i < segment.options.sack_blocks; i++) {
                CU_ASSERT_EQUAL(segment.options.sack[i].start, options.sack[i].start);
                CU_ASSERT_EQUAL(segment.options.sack[i].end, options.sack[i].end);
            }
        }
    }
}

static void time_stamps_alone_stand_where_everyone_expects_them(void)
{
    uint8_t bytes[40];
    struct tcp_options options = {.has_timestamps = true, .ts_value = 1, .ts_echo = 2};
    struct tcp_header header = {.flags = TCP_ACK};
    static const uint8_t expected[] = {1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}; /* RFC 7323 appendix A */
    uint8_t *start = tcp_header_write(bytes + sizeof bytes, &FLOW, &header, &options);
    CU_ASSERT_EQUAL_FATAL(bytes + sizeof bytes - start, 32);
    CU_ASSERT_EQUAL(memcmp(start + 20, expected, sizeof expected), 0);
}

static void random_headers_are_read_without_harm(void)
{
    uint64_t seed = seeded_from_environment(1);
    printf("seed %llu ", (unsigned long long)seed);
    uint64_t random = seeded_start(seed);
    static const uint8_t likely[] = {0, 1, 2, 3, 4, 5, 8, 10, 18, 26, 34};
    for (unsigned i = 0; i < 20000; i++) {
        uint8_t bytes[60];
        seeded_fill(&random, bytes, sizeof bytes);
        for (unsigned at = 20; at < sizeof bytes; at++) {
            if (seeded_below(&random, 4) != 0)
                bytes[at] = likely[seeded_below(&random, sizeof likely)];
        }
        struct tcp_segment segment;
        if (decode(&segment, bytes, seeded_below(&random, sizeof bytes + 1)))
            CU_ASSERT(segment.options.sack_blocks <= TCP_SACK_BLOCKS_RECEIVED_MAX &&
                      segment.options.window_shift <= TCP_WINDOW_SHIFT_MAX);
    }
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a header is read field by field", a_header_is_read_field_by_field},
        {"every wrong length and data offset is refused", every_wrong_length_and_data_offset_is_refused},
        {"each option is read", each_option_is_read},
        {"options of a SYN count on a SYN alone", options_of_a_syn_count_on_a_syn_alone},
        {"a shift above 14 counts as 14", a_shift_above_14_counts_as_14},
        {"lengths of 0 and 1 end the reading", lengths_of_0_and_1_end_the_reading},
        {"every option of a wrong length is passed over", every_option_of_a_wrong_length_is_passed_over},
        {"every option cut short ends the reading", every_option_cut_short_ends_the_reading},
        {"nothing behind the end counts", nothing_behind_the_end_counts},
        {"what is written is read again", what_is_written_is_read_again},
        {"SACK blocks that do not fit are left out", sack_blocks_that_do_not_fit_are_left_out},
        {"time stamps alone stand where everyone expects them",
         time_stamps_alone_stand_where_everyone_expects_them},
        {"random headers are read without harm", random_headers_are_read_without_harm},
        CU_TEST_INFO_NULL,
    };
    return suite_run("tcp segment", tests);
}
