#include "tcp/tcp_segment.h"

#include <string.h>

#include <rte_byteorder.h>

#include "net/checksum.h"

enum option_kind {
    OPTION_END = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WINDOW_SCALE = 3,
    OPTION_SACK_PERMITTED = 4,
    OPTION_SACK = 5,
    OPTION_TIMESTAMPS = 8,
};

enum {
    MSS_BYTES = 4,
    WINDOW_SCALE_BYTES = 3,
    SACK_PERMITTED_BYTES = 2,
    SACK_BASE_BYTES = 2,
    SACK_BLOCK_BYTES = 8,
    TIMESTAMPS_OPTION_BYTES = 10,
};
static_assert(TIMESTAMPS_OPTION_BYTES + 2 == (int)TCP_TIMESTAMPS_BYTES, "two NOPs align it");
static_assert((int)TCP_TIMESTAMPS_BYTES + 2 + SACK_BASE_BYTES +
                      SACK_BLOCK_BYTES * (int)TCP_SACK_BLOCKS_SENT_MAX ==
                  (int)TCP_OPTIONS_BYTES_MAX,
              "time stamps and three SACK blocks fill the header");

static uint32_t load_be32(const uint8_t *bytes)
{
    return rte_be_to_cpu_32(checksum_load32(bytes));
}

bool tcp_segment_decode(struct tcp_segment *out, const struct tcp_arrival *arrival)
{
    if (arrival->length < TCP_HEADER_BYTES)
        return false;
    const struct rte_tcp_hdr *header = (const struct rte_tcp_hdr *)arrival->header;
    unsigned header_bytes = (header->data_off >> 4) * 4u;
    if (header_bytes < TCP_HEADER_BYTES || header_bytes > arrival->length)
        return false;
    out->seq = rte_be_to_cpu_32(header->sent_seq);
    out->ack = rte_be_to_cpu_32(header->recv_ack);
    out->window = rte_be_to_cpu_16(header->rx_win);
    out->payload_bytes = (uint16_t)(arrival->length - header_bytes);
    out->flags = header->tcp_flags;
    out->header_bytes = (uint8_t)header_bytes;
    out->payload = arrival->header + header_bytes;
    out->frame = arrival->frame;
    return true;
}

/* One known option of the right length; others are passed over. */
static void option_decode(struct tcp_options *out, bool syn, const uint8_t *option, unsigned length)
{
    switch (option[0]) {
    case OPTION_MSS:
        if (syn && length == MSS_BYTES)
            out->mss = (uint16_t)(option[2] << 8 | option[3]);
        break;
    case OPTION_WINDOW_SCALE:
        if (syn && length == WINDOW_SCALE_BYTES) {
            out->has_window_scale = true;
            out->window_shift = option[2] > TCP_WINDOW_SHIFT_MAX ? TCP_WINDOW_SHIFT_MAX : option[2];
        }
        break;
    case OPTION_SACK_PERMITTED:
        if (syn && length == SACK_PERMITTED_BYTES)
            out->sack_permitted = true;
        break;
    case OPTION_SACK:
        if (syn || length < SACK_BASE_BYTES + SACK_BLOCK_BYTES ||
            (length - SACK_BASE_BYTES) % SACK_BLOCK_BYTES != 0)
            break;
        out->sack_blocks = (uint8_t)((length - SACK_BASE_BYTES) / SACK_BLOCK_BYTES);
        for (unsigned i = 0; i < out->sack_blocks; i++) {
            const uint8_t *block = option + SACK_BASE_BYTES + i * SACK_BLOCK_BYTES;
            out->sack[i] = (struct tcp_sack_block){.start = load_be32(block), .end = load_be32(block + 4)};
        }
        break;
    case OPTION_TIMESTAMPS:
        if (length == TIMESTAMPS_OPTION_BYTES) {
            out->has_timestamps = true;
            out->ts_value = load_be32(option + 2);
            out->ts_echo = load_be32(option + 6);
        }
        break;
    }
}

void tcp_options_decode(struct tcp_options *out, const struct tcp_segment *segment, const uint8_t *header)
{
    const uint8_t *option = header + TCP_HEADER_BYTES;
    size_t left = segment->header_bytes - (size_t)TCP_HEADER_BYTES;
    memset(out, 0, sizeof *out);
    while (left > 0 && option[0] != OPTION_END) {
        if (option[0] == OPTION_NOP) {
            option++;
            left--;
            continue;
        }
        /* at least kind and length, or this would not get on; and inside the header */
        if (left < 2 || option[1] < 2 || option[1] > left)
            return;
        option_decode(out, segment->flags & TCP_SYN, option, option[1]);
        left -= option[1];
        option += option[1];
    }
}

/* SACK blocks for which the other options leave room. */
static unsigned sack_blocks_fitting(const struct tcp_options *options, unsigned others)
{
    unsigned room = TCP_OPTIONS_BYTES_MAX - others;
    unsigned most = room < 2 + SACK_BASE_BYTES ? 0 : (room - 2 - SACK_BASE_BYTES) / SACK_BLOCK_BYTES;
    return options->sack_blocks < most ? options->sack_blocks : most;
}

/* SACK permitted goes into the two bytes that otherwise align time stamps. */
static unsigned bytes_without_sack(const struct tcp_options *options)
{
    unsigned bytes = options->mss != 0 ? MSS_BYTES : 0;
    if (options->has_timestamps)
        bytes += TCP_TIMESTAMPS_BYTES;
    else if (options->sack_permitted)
        bytes += 2 + SACK_PERMITTED_BYTES;
    if (options->has_window_scale)
        bytes += 1 + WINDOW_SCALE_BYTES;
    return bytes;
}

unsigned tcp_options_bytes(const struct tcp_options *options)
{
    unsigned bytes = bytes_without_sack(options);
    unsigned blocks = sack_blocks_fitting(options, bytes);
    return blocks == 0 ? bytes : bytes + 2 + SACK_BASE_BYTES + blocks * SACK_BLOCK_BYTES;
}

static uint8_t *put_8(uint8_t *at, unsigned a, unsigned b)
{
    at[0] = (uint8_t)a;
    at[1] = (uint8_t)b;
    return at + 2;
}

static uint8_t *put_32(uint8_t *at, uint32_t value)
{
    rte_be32_t big = rte_cpu_to_be_32(value);
    memcpy(at, &big, 4);
    return at + 4;
}

/* Every option takes whole words with its NOPs. */
static uint8_t *options_write(uint8_t *at, const struct tcp_options *options)
{
    unsigned blocks = sack_blocks_fitting(options, bytes_without_sack(options));
    if (options->mss != 0) {
        at = put_8(at, OPTION_MSS, MSS_BYTES);
        at = put_8(at, options->mss >> 8, options->mss & 0xFF);
    }
    if (options->has_timestamps || options->sack_permitted) {
        at = options->sack_permitted ? put_8(at, OPTION_SACK_PERMITTED, SACK_PERMITTED_BYTES)
                                     : put_8(at, OPTION_NOP, OPTION_NOP);
        if (options->has_timestamps) {
            at = put_8(at, OPTION_TIMESTAMPS, TIMESTAMPS_OPTION_BYTES);
            at = put_32(put_32(at, options->ts_value), options->ts_echo);
        } else {
            at = put_8(at, OPTION_NOP, OPTION_NOP);
        }
    }
    if (options->has_window_scale) {
        at = put_8(at, OPTION_NOP, OPTION_WINDOW_SCALE);
        at = put_8(at, WINDOW_SCALE_BYTES, options->window_shift);
    }
    if (blocks > 0) {
        at = put_8(at, OPTION_NOP, OPTION_NOP);
        at = put_8(at, OPTION_SACK, SACK_BASE_BYTES + blocks * SACK_BLOCK_BYTES);
        for (unsigned i = 0; i < blocks; i++)
            at = put_32(put_32(at, options->sack[i].start), options->sack[i].end);
    }
    return at;
}

uint8_t *tcp_header_write(uint8_t *end, const struct flow *flow, const struct tcp_header *header,
                          const struct tcp_options *options)
{
    unsigned bytes = TCP_HEADER_BYTES + tcp_options_bytes(options);
    uint8_t *start = end - bytes;
    struct rte_tcp_hdr out = {
        .src_port = flow->local_port,
        .dst_port = flow->peer_port,
        .sent_seq = rte_cpu_to_be_32(header->seq),
        .recv_ack = rte_cpu_to_be_32(header->ack),
        .data_off = (uint8_t)(bytes / 4 << 4),
        .tcp_flags = header->flags,
        .rx_win = rte_cpu_to_be_16(header->window),
    };
    memcpy(start, &out, sizeof out);
    options_write(start + sizeof out, options);
    return start;
}
