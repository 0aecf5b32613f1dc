#include "net/icmp.h"

unsigned icmp_echo_check(const uint8_t *message, size_t length)
{
    if (length < ICMP_HEADER_BYTES)
        return COUNTER_icmp_truncated;
    if (!checksum_valid(checksum_add_bytes(0, message, length)))
        return COUNTER_icmp_bad_checksum;
    if (message[0] != ICMP_ECHO_REQUEST || message[1] != 0)
        return COUNTER_icmp_unhandled;
    if (length > ICMP_ECHO_BYTES_MAX)
        return COUNTER_icmp_too_long;
    return NET_ACCEPT;
}

void icmp_echo_reply(uint8_t *message)
{
    uint16_t checksum;
    memcpy(&checksum, message + 2, 2);
    message[0] = ICMP_ECHO_REPLY;
    checksum = checksum_update16(checksum, ICMP_ECHO_REQUEST, ICMP_ECHO_REPLY);
    memcpy(message + 2, &checksum, 2);
}

size_t icmp_unreachable_quote(size_t packet_bytes, size_t header_bytes)
{
    size_t answer = packet_bytes < ICMP_ERROR_PACKET_BYTES_MAX ? packet_bytes : ICMP_ERROR_PACKET_BYTES_MAX;
    size_t quote_min = header_bytes + (ICMP_QUOTE_BYTES_MIN - IP4_HEADER_BYTES);
    if (answer < IP4_HEADER_BYTES + ICMP_HEADER_BYTES + quote_min)
        return 0;
    return answer - IP4_HEADER_BYTES - ICMP_HEADER_BYTES;
}

void icmp_unreachable_port(uint8_t *message, size_t quote_bytes)
{
    memset(message, 0, ICMP_HEADER_BYTES);
    message[0] = ICMP_UNREACHABLE;
    message[1] = ICMP_UNREACHABLE_PORT;
    uint16_t checksum = checksum_finish(checksum_add_bytes(0, message, ICMP_HEADER_BYTES + quote_bytes));
    memcpy(message + 2, &checksum, 2);
}

unsigned icmp_error_decode(struct icmp_error *out, const uint8_t *message, size_t length)
{
    if (length < ICMP_HEADER_BYTES)
        return COUNTER_icmp_truncated;
    if (!checksum_valid(checksum_add_bytes(0, message, length)))
        return COUNTER_icmp_bad_checksum;
    const struct rte_ipv4_hdr *quoted = (const struct rte_ipv4_hdr *)(message + ICMP_HEADER_BYTES);
    size_t quoted_bytes = length - ICMP_HEADER_BYTES;
    if (quoted_bytes < ICMP_QUOTE_BYTES_MIN)
        return COUNTER_icmp_truncated;
    size_t header_bytes = (quoted->version_ihl & 15) * 4u;
    if (quoted->version_ihl >> 4 != 4 || header_bytes < IP4_HEADER_BYTES || quoted_bytes < header_bytes + 8)
        return COUNTER_icmp_bad_quote;
    /* RFC 792: of what follows the quoted header 8 bytes are sure to be there: ports and TCP's sequence
     * number */
    const uint8_t *transport = message + ICMP_HEADER_BYTES + header_bytes;
    rte_be32_t seq;
    rte_be16_t mtu;
    *out = (struct icmp_error){.source = quoted->src_addr,
                               .destination = quoted->dst_addr,
                               .type = message[0],
                               .code = message[1],
                               .protocol = quoted->next_proto_id};
    memcpy(&out->source_port, transport, 2);
    memcpy(&out->destination_port, transport + 2, 2);
    memcpy(&seq, transport + 4, 4);
    memcpy(&mtu, message + 6, 2);
    out->seq = rte_be_to_cpu_32(seq);
    if (out->type == ICMP_UNREACHABLE && out->code == ICMP_UNREACHABLE_FRAGMENTATION)
        out->mtu = rte_be_to_cpu_16(mtu);
    return NET_ACCEPT;
}
