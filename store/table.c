#include "table_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct table_memory table_memory(uint64_t capacity, unsigned workers)
{
    return (struct table_memory){
        .bucket_bytes = (bucket_main_count(capacity) + bucket_overflow_count(capacity)) * LINE_BYTES,
        .line_bytes = lines_ordinary_count(capacity, workers) * LINE_BYTES,
    };
}

static int map_memory(struct table *table, const struct table_config *config)
{
    struct table_memory memory = table_memory(config->capacity, config->workers);
    uint64_t rebuild = lines_rebuild_limit(config->capacity);
    struct region_config buckets = {.bytes = memory.bucket_bytes,
                                    .tail_bytes = bucket_overflow_count(rebuild) * LINE_BYTES,
                                    .numa_node = config->numa_node,
                                    .huge_pages = config->huge_pages};
    struct region_config items = {.bytes = memory.line_bytes,
                                  .tail_bytes = (rebuild - config->capacity) * LINE_BYTES,
                                  .numa_node = config->numa_node,
                                  .huge_pages = config->huge_pages};
    if (region_create(&table->bucket_region, &buckets) != 0 ||
        region_create(&table->line_region, &items) != 0)
        return -ENOMEM;
    const struct region *b = &table->bucket_region, *l = &table->line_region;
    bucket_array_init(&table->buckets, (struct bucket *)b->start, config->capacity,
                      (uint32_t)(b->bytes / LINE_BYTES), (uint32_t)((b->bytes + b->tail_bytes) / LINE_BYTES));
    lines_init(&table->lines, (struct line *)l->start, config->capacity, config->workers,
               (uint32_t)(l->bytes / LINE_BYTES), (uint32_t)((l->bytes + l->tail_bytes) / LINE_BYTES));
    return 0;
}

int table_create(struct table **out, const struct table_config *config, struct table_info *info)
{
    if (config->capacity < TABLE_CAPACITY_MIN || config->capacity > (uint64_t)TABLE_CAPACITY_MAX ||
        config->workers == 0 || config->workers > TABLE_WORKERS_MAX)
        return -EINVAL;
    struct table *table = aligned_alloc(LINE_BYTES, sizeof *table);
    if (table == NULL)
        return -ENOMEM;
    memset(table, 0, sizeof *table);
    if (map_memory(table, config) != 0) {
        table_destroy(table);
        return -ENOMEM;
    }
    struct siphash_key key = {load_8(config->hash_key), load_8(config->hash_key + 8)};
    table->hash_start = siphash_start(&key);
    explicit_bzero(&key, sizeof key);
    table->capacity = config->capacity;
    table->first_lsn = config->first_lsn;
    table->workers = config->workers;
    table->evict = config->evict;
    table->force_equal_hashes = config->force_equal_hashes;
    atomic_init(&table->next_lsn, config->first_lsn);
    if (info) {
        *info = (struct table_info){
            .bytes = table->bucket_region.bytes + table->line_region.bytes,
            .hot_bytes = (bucket_main_count(config->capacity) + config->capacity) * LINE_BYTES,
            .capacity = config->capacity,
            .huge_pages = table->bucket_region.huge_pages && table->line_region.huge_pages,
        };
    }
    *out = table;
    return 0;
}

void table_destroy(struct table *table)
{
    if (table == NULL)
        return;
    region_destroy(&table->bucket_region);
    region_destroy(&table->line_region);
    explicit_bzero(&table->hash_start, sizeof table->hash_start);
    free(table);
}

uint64_t table_capacity_for(uint64_t bytes)
{
    uint64_t lines = bytes / LINE_BYTES;
    uint64_t capacity = lines * BUCKET_ITEMS_AT_FULL / (BUCKET_ITEMS_AT_FULL + 1);
    while (capacity > 0 && capacity + bucket_main_count(capacity) > lines)
        capacity--;
    return capacity < (uint64_t)TABLE_CAPACITY_MAX ? capacity : (uint64_t)TABLE_CAPACITY_MAX;
}

uint64_t table_hash(const struct table *table, const uint8_t *key, size_t length)
{
    return table->force_equal_hashes ? 1 : siphash13(&table->hash_start, key, length);
}

void table_counts(const struct table *table, struct table_counts *out)
{
    int64_t items = 0;
    uint64_t lsn = atomic_load_explicit(&table->next_lsn, memory_order_relaxed) - 1;
    uint64_t applying_lsn = atomic_load_explicit(&table->applying_lsn, memory_order_relaxed);
    for (unsigned i = 0; i < table->workers; i++)
        items += atomic_load_explicit(&table->share[i].items, memory_order_relaxed);
    *out = (struct table_counts){
        .items = items > 0 ? (uint64_t)items : 0,
        .lines_used = lines_used(&table->lines),
        .capacity = table->capacity,
        .lsn = lsn,
        .highest_lsn = applying_lsn > lsn ? applying_lsn : lsn,
        .flush_lsn = table_flush_lsn(table),
        .overflow_buckets = atomic_load_explicit(&table->buckets.overflow_used, memory_order_relaxed),
    };
}
