/*
 * make_frame_corpus FOLDER - writes the seeds of fuzz_frame: one good frame of every kind that a worker
 * answers or passes on, plain and tagged, and a burst of all.
 */
#include <stdio.h>
#include <stdlib.h>

#include "datagram.h"
#include "frames.h"
#include "message.h"

static const char *folder;
static uint8_t all[16384];
static size_t all_bytes;

static void write_seed(const char *name, const uint8_t *bytes, size_t length)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, length, file) != length || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void seed(const char *name, const struct frame *frame)
{
    uint8_t bytes[3 + FRAME_ROOM] = {0, (uint8_t)frame->length, (uint8_t)(frame->length >> 8)};
    memcpy(bytes + 3, frame->bytes, frame->length);
    write_seed(name, bytes, 3 + frame->length);
    memcpy(all + all_bytes, bytes, 3 + frame->length);
    all_bytes += 3 + frame->length;
}

static size_t plain_request(uint8_t payload[DATAGRAM_BYTES_MAX], const struct operation *operation)
{
    struct message_writer writer;
    struct message_header header = {.version = PROTOCOL_VERSION_MAX, .count = 1};
    memset(payload, 0, DATAGRAM_BYTES_MAX);
    message_begin(&writer, payload + DATAGRAM_HEADER_BYTES, MESSAGE_BYTES_MAX);
    message_add_operation(&writer, operation);
    return datagram_plain(payload, 1, 2, message_finish(&writer, &header));
}

static void seed_kinds(struct frame_fields *fields, const char *suffix)
{
    static const uint8_t options[8] = {148, 4, 0, 0, 1, 1, 1, 0}, nobody[6];
    const uint8_t *key = (const uint8_t *)"key", *value = (const uint8_t *)"0123456789abcdef";
    struct operation set = {.opcode = OPCODE_SET,
                            .key = key,
                            .key_length = 3,
                            .value = value,
                            .value_length = 16,
                            .request_id = 1};
    struct operation get = {.opcode = OPCODE_GET, .key = key, .key_length = 3, .request_id = 2};
    uint8_t payload[DATAGRAM_BYTES_MAX];
    struct frame frame;
    char name[64];
#define SEED(what) (snprintf(name, sizeof name, "%s%s", what, suffix), seed(name, &frame))

    frame_udp(&frame, fields, payload, plain_request(payload, &set));
    SEED("set");
    frame_udp(&frame, fields, payload, plain_request(payload, &get) + 32);
    SEED("get");
    memset(payload, 0, sizeof payload);
    payload[0] = DATAGRAM_MAGIC;
    payload[1] = DATAGRAM_ECHO;
    frame_udp(&frame, fields, payload, 64);
    SEED("echo");
    fields->options = options;
    fields->options_bytes = sizeof options;
    frame_udp(&frame, fields, payload, 64);
    SEED("options");
    fields->options_bytes = 0;
    fields->destination_port = 9;
    frame_udp(&frame, fields, payload, 64);
    SEED("closed");
    fields->destination_port = 7878;
    frame_echo_request(&frame, fields, payload, 56);
    SEED("ping");
    frame_arp(&frame, fields, 1, fields->from, fields->source, nobody, fields->destination);
    SEED("arp_request");
    frame_arp(&frame, fields, 2, fields->from, fields->source, fields->to, fields->destination);
    SEED("arp_reply");
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    folder = argv[1];
    struct frame_fields fields = {
        .to = {2, 0, 0, 0, 0, 1},
        .from = {2, 0, 0, 0, 0, 9},
        .vlan_tci = FRAME_UNTAGGED,
        .source = frame_ip4(198, 18, 0, 9),
        .destination = frame_ip4(198, 18, 0, 1),
        .source_port = 40000,
        .destination_port = 7878,
    };
    seed_kinds(&fields, "");
    fields.vlan_tci = 100;
    seed_kinds(&fields, "_tagged");
    write_seed("burst", all, all_bytes);
    return 0;
}
