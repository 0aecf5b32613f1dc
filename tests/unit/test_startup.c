/*
 * test_startup.c - the start-up table, and the capacity that is chosen at start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capacity.h"
#include "startup.h"
#include "suite.h"

/* ---- the table ---- */

struct trace {
    char text[64];
    int fails_at; /* index of the step that fails; -1: none */
    const char *says;
};

static int step(struct trace *trace, int index, char *error, size_t error_bytes)
{
    if (trace->fails_at == index) {
        if (trace->says != NULL)
            snprintf(error, error_bytes, "%s", trace->says);
        return -1;
    }
    strcat(trace->text, (const char *[]){"A", "B", "C"}[index]);
    return 0;
}

static int start_a(void *subject, char *error, size_t error_bytes)
{
    return step(subject, 0, error, error_bytes);
}

static int start_b(void *subject, char *error, size_t error_bytes)
{
    return step(subject, 1, error, error_bytes);
}

static int start_c(void *subject, char *error, size_t error_bytes)
{
    return step(subject, 2, error, error_bytes);
}

static void stop_a(void *subject)
{
    strcat(((struct trace *)subject)->text, "a");
}

static void stop_c(void *subject)
{
    strcat(((struct trace *)subject)->text, "c");
}

static const struct startup_step steps[] = {
    {"first", start_a, stop_a}, {"second", start_b, NULL}, {"third", start_c, stop_c}};

static void stopping_is_the_reverse_of_starting(void)
{
    struct trace trace = {.fails_at = -1};
    char error[64];
    unsigned done;

    CU_ASSERT_EQUAL(startup_run(steps, 3, &trace, &done, error, sizeof error), 0);
    CU_ASSERT_EQUAL(done, 3);
    CU_ASSERT_STRING_EQUAL(trace.text, "ABC");
    startup_undo(steps, &trace, &done);
    CU_ASSERT_EQUAL(done, 0);
    CU_ASSERT_STRING_EQUAL(trace.text, "ABCca");
    startup_undo(steps, &trace, &done);
    CU_ASSERT_STRING_EQUAL(trace.text, "ABCca");
}

static void a_step_that_fails_undoes_those_before_it_and_says_why(void)
{
    struct trace trace = {.fails_at = 2, .says = "no such thing"};
    char error[64];
    unsigned done;

    CU_ASSERT_EQUAL(startup_run(steps, 3, &trace, &done, error, sizeof error), -1);
    CU_ASSERT_STRING_EQUAL(trace.text, "ABa");
    CU_ASSERT_STRING_EQUAL(error, "no such thing");
    CU_ASSERT_EQUAL(done, 0);
    trace = (struct trace){.fails_at = 0};
    CU_ASSERT_EQUAL(startup_run(steps, 3, &trace, &done, error, sizeof error), -1);
    CU_ASSERT_STRING_EQUAL(trace.text, "");
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "first"));
}

/* ---- capacity ---- */

static char sysfs[64], lines[4096];

static void make_file(const char *path, const char *text)
{
    char whole[160], *slash;
    FILE *file;

    snprintf(whole, sizeof whole, "%s/%s", sysfs, path);
    for (slash = strchr(whole + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    file = fopen(whole, "w");
    if (file == NULL)
        abort();
    fputs(text, file);
    fclose(file);
}

/* Logs into `lines`, fresh each time. */
static uint64_t choose(uint64_t wanted, const char *root)
{
    struct logger logger = {.out = fmemopen(lines, sizeof lines, "w"), .level = LOG_LEVEL_INFO};
    unsigned cpus[] = {0, 1};
    uint64_t capacity;

    memset(lines, 0, sizeof lines);
    capacity = capacity_choose(wanted, root, cpus, 2, &logger);
    fclose(logger.out);
    return capacity;
}

static void the_default_fits_three_quarters_of_the_smallest_l3_of_the_workers(void)
{
    uint64_t capacity = choose(0, sysfs);

    CU_ASSERT_EQUAL(capacity, table_capacity_for((UINT64_C(8) << 20) / 100 * 75));
    CU_ASSERT_STRING_EQUAL(lines, "");
    CU_ASSERT_TRUE(capacity > 50000 && capacity < (UINT64_C(8) << 20) / 64);
}

static void a_wanted_capacity_is_taken_with_a_warning_beyond_the_l3(void)
{
    CU_ASSERT_EQUAL(choose(1000, sysfs), 1000);
    CU_ASSERT_STRING_EQUAL(lines, "");
    CU_ASSERT_EQUAL(choose(10000000, sysfs), 10000000);
    CU_ASSERT_PTR_NOT_NULL(strstr(lines, "warning"));
    CU_ASSERT_PTR_NOT_NULL(strstr(lines, "goes beyond the L3"));
}

static void a_machine_that_does_not_tell_its_l3_is_warned_about(void)
{
    CU_ASSERT_TRUE(choose(0, "/nonexistent") >= TABLE_CAPACITY_MIN);
    CU_ASSERT_PTR_NOT_NULL(strstr(lines, "cannot be read"));
}

static int check(uint64_t capacity, bool huge_pages, char error[256])
{
    char path[96];

    snprintf(path, sizeof path, "%s/meminfo", sysfs);
    return capacity_check(capacity, 1, huge_pages, path, error, 256);
}

static void a_capacity_beyond_the_memory_is_refused(void)
{
    const uint64_t capacity = 100000;
    struct table_memory memory = table_memory(capacity, 1);
    unsigned long long bytes = memory.bucket_bytes + memory.line_bytes;
    struct table_config config = {.capacity = capacity, .workers = 1, .numa_node = -1};
    struct table_info info = {0};
    struct table *table;
    char error[256] = "", meminfo[128];

    CU_ASSERT_EQUAL(check(UINT64_MAX >> 16, true, error), 0); /* nothing is known */
    /* All that the table takes counts, not only what look-ups touch. */
    CU_ASSERT_EQUAL_FATAL(table_create(&table, &config, &info), 0);
    table_destroy(table);
    CU_ASSERT_TRUE(info.bytes >= bytes && info.bytes < bytes + 2 * 4096);
    CU_ASSERT_TRUE(bytes > info.hot_bytes);
    snprintf(meminfo, sizeof meminfo, "MemTotal: 1 kB\nMemAvailable:  %llu kB\n", bytes / 1024);
    make_file("meminfo", meminfo);
    CU_ASSERT_EQUAL(check(capacity - 20, true, error), 0);
    CU_ASSERT_STRING_EQUAL(error, "");
    CU_ASSERT_EQUAL(check(capacity + 20, true, error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "8 MiB are available; lower --capacity"));
    make_file("meminfo", "MemTotal:       4096 kB\n");
    CU_ASSERT_EQUAL(check(UINT64_MAX >> 16, true, error), 0);
}

static void only_hugepages_that_will_hold_the_table_count_as_memory(void)
{
    /* 2.1 MiB of buckets, 6.4 MiB of lines: two and four hugepages */
    const uint64_t capacity = 104000;
    struct table_memory memory = table_memory(capacity, 1);
    char error[256] = "";

    CU_ASSERT_TRUE(memory.bucket_bytes > 2 << 20 && memory.bucket_bytes < 4 << 20);
    CU_ASSERT_TRUE(memory.line_bytes > 6 << 20 && memory.line_bytes < 8 << 20);
    make_file("meminfo", "MemAvailable: 0 kB\nHugePages_Free: 6\nHugepagesize: 2048 kB\n");
    CU_ASSERT_EQUAL(check(capacity, true, error), 0);
    CU_ASSERT_EQUAL(check(capacity, false, error), -1); /* the operator refused them */
    make_file("meminfo", "MemAvailable: 0 kB\nHugePages_Free: 6\nHugePages_Rsvd: 3\nHugepagesize: 2048 kB\n");
    CU_ASSERT_EQUAL(check(capacity, true, error), -1); /* others were promised them */
    make_file("meminfo", "MemAvailable: 0 kB\nHugePages_Free: 6\nHugepagesize: 1048576 kB\n");
    CU_ASSERT_EQUAL(check(capacity, true, error), -1); /* of another size */
    make_file("meminfo", "MemAvailable: 5120 kB\nHugePages_Free: 4\nHugepagesize: 2048 kB\n");
    CU_ASSERT_EQUAL(check(capacity, true, error), -1); /* buckets take two, and the lines fit neither */
    make_file("meminfo", "MemAvailable: 7168 kB\nHugePages_Free: 4\nHugepagesize: 2048 kB\n");
    CU_ASSERT_EQUAL(check(capacity, true, error), 0);
}

static void the_start_up_line_names_bytes_lines_l3_and_share(void)
{
    struct table_info info = {.hot_bytes = UINT64_C(6) << 20, .capacity = 81920, .huge_pages = true};
    struct logger logger = {.out = fmemopen(lines, sizeof lines, "w"), .level = LOG_LEVEL_INFO};
    unsigned cpus[] = {0};

    memset(lines, 0, sizeof lines);
    capacity_log(&info, sysfs, cpus, 1, &logger);
    fclose(logger.out);
    CU_ASSERT_STRING_EQUAL(lines,
                           "wild: info: table: 6291456 bytes, 81920 lines; L3 16777216 bytes, share 38 %\n");
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"stopping_is_the_reverse_of_starting", stopping_is_the_reverse_of_starting},
        {"a_step_that_fails_undoes_those_before_it_and_says_why",
         a_step_that_fails_undoes_those_before_it_and_says_why},
        {"the_default_fits_three_quarters_of_the_smallest_l3_of_the_workers",
         the_default_fits_three_quarters_of_the_smallest_l3_of_the_workers},
        {"a_wanted_capacity_is_taken_with_a_warning_beyond_the_l3",
         a_wanted_capacity_is_taken_with_a_warning_beyond_the_l3},
        {"a_machine_that_does_not_tell_its_l3_is_warned_about",
         a_machine_that_does_not_tell_its_l3_is_warned_about},
        {"a_capacity_beyond_the_memory_is_refused", a_capacity_beyond_the_memory_is_refused},
        {"only_hugepages_that_will_hold_the_table_count_as_memory",
         only_hugepages_that_will_hold_the_table_count_as_memory},
        {"the_start_up_line_names_bytes_lines_l3_and_share",
         the_start_up_line_names_bytes_lines_l3_and_share},
        CU_TEST_INFO_NULL,
    };
    char command[96];
    int failed;

    snprintf(sysfs, sizeof sysfs, "/tmp/wild-sysfs-%d", (int)getpid());
    mkdir(sysfs, 0700);
    for (unsigned cpu = 0; cpu < 2; cpu++) {
        char path[96];

        snprintf(path, sizeof path, "devices/system/cpu/cpu%u/cache/index0/level", cpu);
        make_file(path, "3\n");
        snprintf(path, sizeof path, "devices/system/cpu/cpu%u/cache/index0/type", cpu);
        make_file(path, "Unified\n");
        snprintf(path, sizeof path, "devices/system/cpu/cpu%u/cache/index0/size", cpu);
        make_file(path, cpu == 0 ? "16384K\n" : "8192K\n");
    }
    failed = suite_run("startup", tests);
    snprintf(command, sizeof command, "rm -rf %s", sysfs);
    return system(command) != 0 || failed;
}
