#include "net/ip4.h"

enum { OPTION_END = 0, OPTION_NOP = 1, OPTION_LSRR = 131, OPTION_SSRR = 137 };

/* RFC 791 3.1, RFC 1122 3.2.1.8: what we do not understand is skipped; source routes are refused. Every step
 * moves on by at least one byte. */
static unsigned options_check(const uint8_t *options, size_t length)
{
    size_t at = 0;
    while (at < length) {
        uint8_t type = options[at];
        if (type == OPTION_END)
            return NET_ACCEPT;
        if (type == OPTION_NOP) {
            at++;
            continue;
        }
        if (length - at < 2 || options[at + 1] < 2 || options[at + 1] > length - at)
            return COUNTER_ip4_bad_options;
        if (type == OPTION_LSRR || type == OPTION_SSRR)
            return COUNTER_ip4_source_route;
        at += options[at + 1];
    }
    return NET_ACCEPT;
}

static unsigned destination_check(const struct ip4_local *local, rte_be32_t destination, bool link_broadcast)
{
    uint32_t host = rte_be_to_cpu_32(destination);
    if (host >= 0xE0000000 && host < 0xF0000000)
        return COUNTER_ip4_multicast;
    if (link_broadcast || host == 0xFFFFFFFF)
        return COUNTER_ip4_broadcast;
    if (destination == local->address)
        return NET_ACCEPT;
    return host == local->broadcast ? COUNTER_ip4_broadcast : COUNTER_ip4_not_ours;
}

unsigned ip4_validate(struct ip4_view *out, const struct ip4_local *local, const uint8_t *bytes,
                      size_t length, bool link_broadcast, bool checksum_known_good)
{
    /* RFC 1812 5.2.2, in its order */
    if (length < IP4_HEADER_BYTES)
        return COUNTER_ip4_truncated;
    const struct rte_ipv4_hdr *header = (const struct rte_ipv4_hdr *)bytes;
    if (header->version_ihl >> 4 != 4)
        return COUNTER_ip4_bad_version;
    size_t header_bytes = (header->version_ihl & 15) * 4;
    if (header_bytes < IP4_HEADER_BYTES)
        return COUNTER_ip4_bad_header_length;
    if (header_bytes > length)
        return COUNTER_ip4_truncated;
    size_t total = rte_be_to_cpu_16(header->total_length);
    if (total < header_bytes || total > length)
        return COUNTER_ip4_bad_total_length;
    if (!checksum_known_good && !checksum_valid(checksum_add_bytes(0, bytes, header_bytes)))
        return COUNTER_ip4_bad_checksum;
    unsigned verdict = destination_check(local, header->dst_addr, link_broadcast);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (!ip4_source_acceptable(local, header->src_addr))
        return COUNTER_ip4_bad_source;
    verdict = options_check(bytes + IP4_HEADER_BYTES, header_bytes - IP4_HEADER_BYTES);
    if (verdict != NET_ACCEPT)
        return verdict;
    if (header->fragment_offset & RTE_BE16(IP4_FRAGMENT_MASK))
        return COUNTER_ip4_fragment;
    *out = (struct ip4_view){
        .header = bytes,
        .payload = bytes + header_bytes,
        .source = header->src_addr,
        .header_bytes = (uint16_t)header_bytes,
        .payload_bytes = (uint16_t)(total - header_bytes),
        .protocol = header->next_proto_id,
    };
    return NET_ACCEPT;
}
