#include "net/udp.h"

unsigned udp_validate(const uint8_t *datagram, size_t room, const uint8_t *ip4_addresses,
                      bool checksum_known_good, uint16_t *payload_bytes)
{
    if (room < UDP_HEADER_BYTES)
        return COUNTER_udp_truncated;
    const struct rte_udp_hdr *header = (const struct rte_udp_hdr *)datagram;
    uint16_t length = rte_be_to_cpu_16(header->dgram_len);
    if (length < UDP_HEADER_BYTES || length > room)
        return COUNTER_udp_bad_length;
    if (!checksum_known_good && header->dgram_cksum != 0 &&
        !checksum_valid(udp_ip4_sum(ip4_addresses, datagram, length)))
        return COUNTER_udp_bad_checksum;
    if (header->src_port == 0)
        return COUNTER_udp_no_source_port;
    *payload_bytes = (uint16_t)(length - UDP_HEADER_BYTES);
    return NET_ACCEPT;
}
