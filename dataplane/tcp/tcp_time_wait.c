#include "tcp/tcp_time_wait.h"

#include <errno.h>

#include <rte_malloc.h>

enum { NONE = UINT32_MAX };

int tcp_time_waits_init(struct tcp_time_waits *waits, unsigned count_max, int numa_node)
{
    *waits = (struct tcp_time_waits){.count_max = count_max, .free = NONE, .oldest = NONE, .newest = NONE};
    if (count_max == 0)
        return 0;
    waits->record = rte_zmalloc_socket("tcp_time_wait", count_max * sizeof *waits->record, 64, numa_node);
    if (waits->record == NULL)
        return -ENOMEM;
    for (uint32_t i = count_max; i-- > 0;) {
        waits->record[i].next = waits->free;
        waits->free = i;
    }
    return 0;
}

void tcp_time_waits_fini(struct tcp_time_waits *waits)
{
    rte_free(waits->record);
    *waits = (struct tcp_time_waits){0};
}

static void append(struct tcp_time_waits *waits, uint32_t number)
{
    struct tcp_time_wait *record = &waits->record[number];
    record->next = NONE;
    record->previous = waits->newest;
    if (waits->newest != NONE)
        waits->record[waits->newest].next = number;
    else
        waits->oldest = number;
    waits->newest = number;
}

static void take_out(struct tcp_time_waits *waits, uint32_t number)
{
    const struct tcp_time_wait *record = &waits->record[number];
    if (record->previous != NONE)
        waits->record[record->previous].next = record->next;
    else
        waits->oldest = record->next;
    if (record->next != NONE)
        waits->record[record->next].previous = record->previous;
    else
        waits->newest = record->previous;
}

uint32_t tcp_time_wait_take(struct tcp_time_waits *waits, uint64_t ends_ns, uint32_t *displaced)
{
    *displaced = NONE;
    uint32_t number = waits->free;
    if (number != NONE) {
        waits->free = waits->record[number].next;
        waits->used++;
    } else {
        number = *displaced = waits->oldest;
        if (number == NONE)
            return NONE;
        take_out(waits, number);
    }
    append(waits, number);
    waits->record[number].ends_ns = ends_ns;
    return number;
}

void tcp_time_wait_again(struct tcp_time_waits *waits, uint32_t number, uint64_t ends_ns)
{
    take_out(waits, number);
    append(waits, number);
    waits->record[number].ends_ns = ends_ns;
}

void tcp_time_wait_free(struct tcp_time_waits *waits, uint32_t number)
{
    take_out(waits, number);
    waits->record[number].ends_ns = 0;
    waits->record[number].next = waits->free;
    waits->free = number;
    waits->used--;
}

uint32_t tcp_time_wait_due(const struct tcp_time_waits *waits, uint64_t now_ns)
{
    uint32_t oldest = waits->oldest;
    return oldest != NONE && waits->record[oldest].ends_ns <= now_ns ? oldest : NONE;
}
