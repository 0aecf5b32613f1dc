#include "net/arp.h"

#include <rte_arp.h>

#include "net/eth.h"
#include "net/ip4.h"

static_assert(sizeof(struct rte_arp_hdr) == ARP_BYTES, "layout");
static_assert(offsetof(struct rte_arp_hdr, arp_data.arp_sip) == 14, "layout");
static_assert(offsetof(struct rte_arp_hdr, arp_data.arp_tip) == 24, "layout");

unsigned arp_decode(struct arp_packet *out, const uint8_t *bytes, size_t length)
{
    if (length < ARP_BYTES)
        return COUNTER_arp_truncated;
    struct rte_arp_hdr arp;
    memcpy(&arp, bytes, sizeof arp); /* the struct is 2-aligned, `bytes` may not be */
    uint16_t operation = rte_be_to_cpu_16(arp.arp_opcode);
    if (arp.arp_hardware != RTE_BE16(RTE_ARP_HRD_ETHER) ||
        arp.arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) || arp.arp_hlen != 6 || arp.arp_plen != 4 ||
        (operation != ARP_REQUEST && operation != ARP_REPLY))
        return COUNTER_arp_bad_format;

    *out = (struct arp_packet){
        .operation = operation, .sender = arp.arp_data.arp_sip, .target = arp.arp_data.arp_tip};
    memcpy(out->sender_mac, arp.arp_data.arp_sha.addr_bytes, 6);
    memcpy(out->target_mac, arp.arp_data.arp_tha.addr_bytes, 6);

    /* a station: no group or zero MAC; IPv4 neither loopback nor group; zero only to probe (RFC 5227) */
    uint32_t top = rte_be_to_cpu_32(out->sender) >> 24;
    bool probe = out->sender == 0 && operation == ARP_REQUEST;
    if (eth_mac_is_group(out->sender_mac) || eth_mac_word(out->sender_mac) == 0 ||
        (!probe && (top == 0 || top == 127 || top >= 224)))
        return COUNTER_arp_bad_sender;
    return NET_ACCEPT;
}

void arp_encode(uint8_t out[ARP_BYTES], const struct arp_packet *packet)
{
    struct rte_arp_hdr arp = {
        .arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER),
        .arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4),
        .arp_hlen = 6,
        .arp_plen = 4,
        .arp_opcode = rte_cpu_to_be_16(packet->operation),
        .arp_data.arp_sip = packet->sender,
        .arp_data.arp_tip = packet->target,
    };
    memcpy(arp.arp_data.arp_sha.addr_bytes, packet->sender_mac, 6);
    memcpy(arp.arp_data.arp_tha.addr_bytes, packet->target_mac, 6);
    memcpy(out, &arp, sizeof arp);
}
