/* member.c - the list of members: encoder beside decoder, and lists as they come. */
#include "member.h"

#include <string.h>

#include "wire.h"

enum {
    AT_COUNT = 0,
    AT_INDEX = 2,
    AT_MIN_REPLICAS = 4,
    AT_MIN_REPLICAS_BEFORE = 6,
    AT_REPLICATION_PORT = 8,
    AT_CLIENT_PORT = 10,
    AT_PART = 12,
    AT_RESERVED = 13,
    AT_ADDRESS = 16,
    AT_NAME = 32,
};
static_assert((int)AT_NAME == (int)MEMBER_VALUE_BYTES, "layout as in member.h");
static_assert((int)MEMBER_VALUE_BYTES_MAX <= (int)VALUE_BYTES_MAX, "it is a value");

const char *member_part_text(unsigned part)
{
    static const char *const texts[] = {
        [MEMBER_STAYS] = "stays", [MEMBER_JOINS] = "joins", [MEMBER_LEAVES] = "leaves"};
    return part < sizeof texts / sizeof texts[0] && texts[part] != NULL ? texts[part] : "?";
}

/* ---- lists ---- */

bool member_list_is_settled(const struct member_list *list)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->member[i].part != MEMBER_STAYS)
            return false;
    return list->min_replicas == list->min_replicas_before;
}

static bool member_equal(const struct member *a, const struct member *b)
{
    return a->node_id == b->node_id && memcmp(a->address, b->address, sizeof a->address) == 0 &&
           a->replication_port == b->replication_port && a->client_port == b->client_port &&
           a->part == b->part && strcmp(a->name, b->name) == 0;
}

bool member_list_equal(const struct member_list *a, const struct member_list *b)
{
    bool equal = a->count == b->count && a->min_replicas == b->min_replicas &&
                 a->min_replicas_before == b->min_replicas_before;
    for (unsigned i = 0; equal && i < a->count; i++)
        equal = member_equal(&a->member[i], &b->member[i]);
    return equal;
}

static bool name_valid(const uint8_t *name, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return false;
    return length < MEMBER_NAME_BYTES;
}

static bool member_valid(const struct member *member)
{
    return member->node_id != 0 && member->part >= MEMBER_STAYS && member->part <= MEMBER_LEAVES &&
           name_valid((const uint8_t *)member->name, strnlen(member->name, MEMBER_NAME_BYTES));
}

bool member_list_valid(const struct member_list *list)
{
    bool somebody = false;

    if (list->count < 1 || list->count > MEMBERS_MAX || list->min_replicas > MEMBERS_MIN_REPLICAS_MAX ||
        list->min_replicas_before > MEMBERS_MIN_REPLICAS_MAX)
        return false;
    for (unsigned i = 0; i < list->count; i++) {
        if (!member_valid(&list->member[i]) || member_find(list, list->member[i].node_id) != &list->member[i])
            return false;
        somebody = somebody || list->member[i].part != MEMBER_LEAVES;
    }
    return somebody;
}

const struct member *member_find(const struct member_list *list, uint64_t node_id)
{
    for (unsigned i = 0; i < list->count; i++)
        if (list->member[i].node_id == node_id)
            return &list->member[i];
    return NULL;
}

/* ---- records ---- */

void member_record(struct log_record *out, const struct member_list *list, unsigned n,
                   uint8_t room[MEMBER_ROOM_BYTES])
{
    const struct member *member = &list->member[n];
    size_t name_bytes = strnlen(member->name, MEMBER_NAME_BYTES - 1);
    uint8_t *value = room + MEMBER_KEY_BYTES;

    wire_put_u64(room, member->node_id);
    wire_put_u16(value + AT_COUNT, (uint16_t)list->count);
    wire_put_u16(value + AT_INDEX, (uint16_t)n);
    wire_put_u16(value + AT_MIN_REPLICAS, list->min_replicas);
    wire_put_u16(value + AT_MIN_REPLICAS_BEFORE, list->min_replicas_before);
    wire_put_u16(value + AT_REPLICATION_PORT, member->replication_port);
    wire_put_u16(value + AT_CLIENT_PORT, member->client_port);
    wire_put_u32(value + AT_PART, member->part); /* and the reserved bytes behind it */
    memcpy(value + AT_ADDRESS, member->address, sizeof member->address);
    memcpy(value + AT_NAME, member->name, name_bytes);
    *out = (struct log_record){.type = LOG_MEMBER,
                               .key = room,
                               .key_length = MEMBER_KEY_BYTES,
                               .value = value,
                               .value_length = (uint16_t)(MEMBER_VALUE_BYTES + name_bytes)};
}

bool member_decode(struct member *out, struct member_list *head, unsigned *index,
                   const struct log_record *record)
{
    const uint8_t *value = record->value;
    size_t name_bytes;

    if (record->type != LOG_MEMBER || record->key_length != MEMBER_KEY_BYTES ||
        record->value_length < MEMBER_VALUE_BYTES || record->value_length > MEMBER_VALUE_BYTES_MAX)
        return false;
    name_bytes = record->value_length - (size_t)MEMBER_VALUE_BYTES;
    *index = wire_u16(value + AT_INDEX);
    *head = (struct member_list){.count = wire_u16(value + AT_COUNT),
                                 .min_replicas = wire_u16(value + AT_MIN_REPLICAS),
                                 .min_replicas_before = wire_u16(value + AT_MIN_REPLICAS_BEFORE)};
    *out = (struct member){.node_id = wire_u64(record->key),
                           .replication_port = wire_u16(value + AT_REPLICATION_PORT),
                           .client_port = wire_u16(value + AT_CLIENT_PORT),
                           .part = value[AT_PART]};
    memcpy(out->address, value + AT_ADDRESS, sizeof out->address);
    memcpy(out->name, value + AT_NAME, name_bytes);
    return head->count <= MEMBERS_MAX && *index < head->count &&
           wire_is_zero(value + AT_RESERVED, AT_ADDRESS - AT_RESERVED) &&
           name_valid(value + AT_NAME, name_bytes) && member_valid(out);
}

/* Whether a record that says this of its list is the next one of what is being collected. */
static bool goes_on(const struct member_collector *collector, const struct member_list *head, unsigned index)
{
    const struct member_list *list = &collector->list;
    return index == collector->next && head->count == list->count &&
           head->min_replicas == list->min_replicas && head->min_replicas_before == list->min_replicas_before;
}

bool member_collect(struct member_collector *collector, const struct log_record *record,
                    struct member_list *out)
{
    struct member_list *list = &collector->list;
    struct member_list head;
    struct member member;
    unsigned index;

    if (!member_decode(&member, &head, &index, record)) {
        list->count = 0;
        return false;
    }
    if (index == 0) {
        *list = head;
        list->first_lsn = record->lsn;
        collector->next = 0;
    }
    if (!goes_on(collector, &head, index)) { /* of a list whose begin is not there: it will never be whole */
        list->count = 0;
        return false;
    }
    list->member[collector->next++] = member;
    if (collector->next < list->count)
        return false;
    list->last_lsn = record->lsn;
    bool valid = member_list_valid(list);
    if (valid)
        *out = *list;
    list->count = 0;
    return valid;
}
