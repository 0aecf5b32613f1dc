#include "suite.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "l3.h"

/* A tree that looks like /sys, in a folder of its own. */
struct tree {
    char root[64];
};

static void make_folders(const char *path)
{
    char part[256];
    for (const char *at = path + 1; *at; at++) {
        if (*at == '/') {
            snprintf(part, sizeof part, "%.*s", (int)(at - path), path);
            (void)mkdir(part, 0700);
        }
    }
}

static void put(const struct tree *tree, unsigned cpu, unsigned index, const char *level, const char *size)
{
    const char *name[] = {"level", "size"}, *text[] = {level, size};
    for (unsigned i = 0; i < 2; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/devices/system/cpu/cpu%u/cache/index%u/%s", tree->root, cpu, index,
                 name[i]);
        make_folders(path);
        FILE *file = fopen(path, "w");
        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        fprintf(file, "%s\n", text[i]);
        fclose(file);
    }
}

static void tree_open(struct tree *tree)
{
    strcpy(tree->root, "/tmp/wild_l3_XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(tree->root));
}

static void tree_close(const struct tree *tree)
{
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", tree->root);
    CU_ASSERT_EQUAL(system(command), 0);
}

static void the_smallest_l3_among_the_cpus_counts(void)
{
    struct tree tree;
    uint64_t bytes;
    tree_open(&tree);
    for (unsigned cpu = 0; cpu < 4; cpu++) {
        put(&tree, cpu, 0, "1", "32K");
        put(&tree, cpu, 1, "2", "1024K");
        put(&tree, cpu, 2, "3", cpu == 3 ? "16M" : "32768K");
    }
    CU_ASSERT_EQUAL(l3_bytes(tree.root, (unsigned[]){0, 1, 2}, 3, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 32 << 20);
    CU_ASSERT_EQUAL(l3_bytes(tree.root, (unsigned[]){0, 3}, 2, &bytes), 0);
    CU_ASSERT_EQUAL(bytes, 16 << 20);
    tree_close(&tree);
}

static void what_sysfs_does_not_say_is_an_error(void)
{
    struct tree tree;
    uint64_t bytes = 7;
    static const char *const odd[] = {
        "", "K", "-1K", "12Q", "32KB", "99999999999999999999K", "18446744073709551615G"};
    tree_open(&tree);
    CU_ASSERT_EQUAL(l3_bytes(tree.root, (unsigned[]){0}, 1, &bytes), -ENOENT);
    CU_ASSERT_EQUAL(l3_bytes(tree.root, NULL, 0, &bytes), -EINVAL);
    put(&tree, 0, 0, "2", "512K");
    CU_ASSERT_EQUAL(l3_bytes(tree.root, (unsigned[]){0}, 1, &bytes), -ENOENT);
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        put(&tree, 0, 1, "3", odd[i]);
        CU_ASSERT_EQUAL(l3_bytes(tree.root, (unsigned[]){0}, 1, &bytes), -ENOENT);
    }
    CU_ASSERT_EQUAL(bytes, 7);
    tree_close(&tree);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"the smallest L3 among the CPUs counts", the_smallest_l3_among_the_cpus_counts},
        {"what sysfs does not say is an error", what_sysfs_does_not_say_is_an_error},
        CU_TEST_INFO_NULL,
    };
    return suite_run("l3", tests);
}
