#include "bucket.h"

#include "check.h"

uint64_t bucket_main_count(uint64_t capacity)
{
    return (capacity + BUCKET_ITEMS_AT_FULL - 1) / BUCKET_ITEMS_AT_FULL;
}

uint64_t bucket_overflow_count(uint64_t capacity)
{
    return capacity / BUCKET_SLOTS;
}

static void set_next(struct bucket *bucket, uint32_t number)
{
    /* release: pairs with acquire in bucket_next() */
    atomic_store_explicit(&bucket->overflow, number, memory_order_release);
}

/* Free overflow buckets: a stack linked by `overflow`, its head's upper half counting changes (lines.c says
 * why). */
static void push_free(struct bucket_array *array, uint32_t number)
{
    struct bucket *bucket = &array->bucket[number];
    if (bucket_in_tail(array, number)) {
        set_next(bucket, array->tail_free);
        array->tail_free = number;
        return;
    }
    uint64_t head = atomic_load_explicit(&array->free_head, memory_order_relaxed);
    uint64_t changed;
    do {
        set_next(bucket, (uint32_t)head);
        changed = ((head >> 32) + 1) << 32 | number;
        /* release: pairs with acquire in pop_free() */
    } while (!atomic_compare_exchange_weak_explicit(&array->free_head, &head, changed, memory_order_release,
                                                    memory_order_relaxed));
}

static uint32_t pop_free(struct bucket_array *array)
{
    /* acquire: pairs with release in push_free() */
    uint64_t head = atomic_load_explicit(&array->free_head, memory_order_acquire);
    uint64_t changed;
    do {
        uint32_t number = (uint32_t)head;
        if (number == 0) {
            number = array->tail_free;
            if (number) {
                array->tail_free = bucket_next(&array->bucket[number]);
                return number;
            }
            CHECK(array->tail_open && array->tail_unused < array->end);
            return array->tail_unused++;
        }
        changed = ((head >> 32) + 1) << 32 | bucket_next(&array->bucket[number]);
    } while (!atomic_compare_exchange_weak_explicit(&array->free_head, &head, changed, memory_order_acquire,
                                                    memory_order_acquire));
    return (uint32_t)head;
}

void bucket_array_init(struct bucket_array *array, struct bucket *bucket, uint64_t capacity,
                       uint32_t tail_start, uint32_t end)
{
    array->bucket = bucket;
    array->main_count = (uint32_t)bucket_main_count(capacity);
    array->ordinary_end = array->main_count + (uint32_t)bucket_overflow_count(capacity);
    array->tail_start = tail_start;
    array->end = end;
    array->tail_open = false;
    atomic_init(&array->free_head, 0);
    atomic_init(&array->overflow_used, 0);
    for (uint32_t number = array->ordinary_end; number-- > array->main_count;)
        push_free(array, number);
}

void bucket_open_tail(struct bucket_array *array)
{
    array->tail_unused = array->tail_start;
    array->tail_free = 0;
    array->tail_open = true;
}

void bucket_close_tail(struct bucket_array *array)
{
    array->tail_unused = array->end;
    array->tail_free = 0;
    array->tail_open = false;
}

static void set_slot(struct bucket *bucket, unsigned slot, unsigned tag, uint32_t line)
{
    /* Plain read-modify-write: a reader may set a reference bit in between, and it may get lost; a hint. */
    unsigned shift = (slot & 3) * 16;
    uint64_t tags = word_load(&bucket->tags[slot / 4]);
    word_store(&bucket->tags[slot / 4], (tags & ~((uint64_t)0xFFFF << shift)) | (uint64_t)tag << shift);
    /* release: pairs with acquire in bucket_line() */
    atomic_store_explicit(&bucket->lines[slot], line, memory_order_release);
}

void chain_append(struct bucket_array *array, struct bucket *main, unsigned tag, uint32_t line)
{
    struct bucket *bucket = main;
    for (uint32_t next; (next = bucket_next(bucket)) != 0;)
        bucket = &array->bucket[next];
    unsigned count = bucket_count(bucket);
    if (count < BUCKET_SLOTS) {
        set_slot(bucket, count, tag, line);
        return;
    }
    uint32_t number = pop_free(array);
    struct bucket *fresh = &array->bucket[number];
    word_store(&fresh->tags[0], 0);
    word_store(&fresh->tags[1], 0);
    set_next(fresh, 0);
    set_slot(fresh, 0, tag, line);
    set_next(bucket, number);
    atomic_fetch_add_explicit(&array->overflow_used, 1, memory_order_relaxed);
}

void chain_remove(struct bucket_array *array, struct bucket *main, struct slot slot)
{
    struct bucket *last = main, *before = NULL;
    for (uint32_t next; (next = bucket_next(last)) != 0;) {
        before = last;
        last = &array->bucket[next];
    }
    unsigned end = bucket_count(last) - 1;
    if (last != slot.bucket || end != slot.index)
        set_slot(slot.bucket, slot.index, bucket_tag(last, end), bucket_line(last, end));
    set_slot(last, end, 0, 0);
    if (end == 0 && before) {
        uint32_t number = bucket_next(before);
        set_next(before, 0);
        push_free(array, number);
        atomic_fetch_sub_explicit(&array->overflow_used, 1, memory_order_relaxed);
    }
}

void chain_clear(struct bucket_array *array, struct bucket *main)
{
    uint32_t next = bucket_next(main);
    set_next(main, 0);
    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        set_slot(main, i, 0, 0);
    while (next != 0) {
        uint32_t number = next;
        next = bucket_next(&array->bucket[number]); /* before it is linked elsewhere */
        push_free(array, number);
        atomic_fetch_sub_explicit(&array->overflow_used, 1, memory_order_relaxed);
    }
}

void chain_set_line(struct slot slot, uint32_t line)
{
    set_slot(slot.bucket, slot.index, bucket_tag(slot.bucket, slot.index), line);
}

void chain_leave_tail(struct bucket_array *array, struct bucket *main)
{
    struct bucket *bucket = main;
    for (uint32_t next; (next = bucket_next(bucket)) != 0; bucket = &array->bucket[next]) {
        if (!bucket_in_tail(array, next))
            continue;
        uint32_t number = pop_free(array);
        struct bucket *from = &array->bucket[next], *to = &array->bucket[number];
        for (unsigned i = 0; i < 2; i++)
            word_store(&to->tags[i], word_load(&from->tags[i]));
        for (unsigned i = 0; i < BUCKET_SLOTS; i++)
            atomic_store_explicit(&to->lines[i], bucket_line(from, i), memory_order_release);
        set_next(to, bucket_next(from));
        set_next(bucket, number);
        next = number;
    }
}
