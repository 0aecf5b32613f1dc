/* test_keys.c - secrets: which texts are taken, what they give, and how their files and memory are kept. */
#include "keys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

#define HEX_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static int derive(struct role_keys *out, const char *secret, size_t length)
{
    char error[256] = "";
    int outcome = keys_from_secret(out, secret, length, "wild", error, sizeof error);
    CU_ASSERT_EQUAL(outcome != 0, error[0] != '\0');
    CU_ASSERT_PTR_NULL(strchr(error, '\n'));
    CU_ASSERT_PTR_NULL(strstr(error, "0203")); /* no secret in a message */
    return outcome;
}

static void a_generated_key_carries_every_role(void)
{
    struct role_keys a, upper;
    CU_ASSERT_EQUAL(derive(&a, "wild1:" HEX_A, 70), 0);
    CU_ASSERT_TRUE(a.held[ROLE_CLIENT] && a.held[ROLE_REPLICA] && !a.held[ROLE_NONE]);
    CU_ASSERT_NOT_EQUAL(memcmp(a.role[ROLE_CLIENT], a.role[ROLE_REPLICA], ROLE_KEY_BYTES), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a.mac1[ROLE_CLIENT], a.mac1[ROLE_REPLICA], MAC1_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(
        derive(&upper, "wild1:000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F", 70), 0);
    CU_ASSERT_EQUAL(memcmp(&a, &upper, sizeof a), 0);
}

static void an_exported_key_carries_the_client_role_only(void)
{
    struct role_keys full, exported;
    char token[128] = "wildc1:";
    CU_ASSERT_EQUAL(derive(&full, "wild1:" HEX_A, 70), 0);
    for (unsigned i = 0; i < ROLE_KEY_BYTES; i++)
        snprintf(token + 7 + 2 * i, 3, "%02x", full.role[ROLE_CLIENT][i]);
    CU_ASSERT_EQUAL(derive(&exported, token, 71), 0);
    CU_ASSERT_TRUE(exported.held[ROLE_CLIENT] && !exported.held[ROLE_REPLICA]);
    CU_ASSERT_EQUAL(memcmp(exported.role[ROLE_CLIENT], full.role[ROLE_CLIENT], ROLE_KEY_BYTES), 0);
    CU_ASSERT_EQUAL(memcmp(exported.mac1[ROLE_CLIENT], full.mac1[ROLE_CLIENT], MAC1_KEY_BYTES), 0);
    static const uint8_t zero[ROLE_KEY_BYTES];
    CU_ASSERT_EQUAL(memcmp(exported.role[ROLE_REPLICA], zero, ROLE_KEY_BYTES), 0);
}

static void damaged_and_unknown_tokens_are_refused(void)
{
    static const char *const texts[] = {
        "wild1:",
        "wild1:00",
        "wild1:" HEX_A "0",
        "wild1:" HEX_A "00",
        "wild1:" HEX_A "\n",
        "wild1: 00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "wild1:g00102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "wild1:00010203 4050607 8090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "wildc1:" HEX_A "00",
        "wildc1:0001",
        "wild2:" HEX_A,
        "wildr1:" HEX_A,
        "wildaz1:" HEX_A,
        "wild12:" HEX_A,
        "wildc2:",
        "",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        static const struct role_keys none;
        struct role_keys keys;
        memset(&keys, 0xAA, sizeof keys);
        CU_ASSERT_EQUAL(derive(&keys, texts[i], strlen(texts[i])), -EINVAL);
        CU_ASSERT_EQUAL(memcmp(&keys, &none, sizeof keys), 0);
    }
    struct role_keys keys;
    static char long_text[SECRET_TEXT_BYTES_MAX + 1];
    memset(long_text, 'x', sizeof long_text);
    CU_ASSERT_EQUAL(derive(&keys, long_text, sizeof long_text), -EINVAL);
    /* the text need not end in NUL: bytes behind it are not looked at */
    CU_ASSERT_EQUAL(derive(&keys, "wild1:" HEX_A "ff", 70), 0);
}

static void passphrases_depend_on_every_byte_and_on_the_cluster(void)
{
    char error[256];
    struct role_keys a, b;
    static const char *const texts[] = {"wildlife: a passphrase", "wild", "wild1", "Wild1:00"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        CU_ASSERT_EQUAL(derive(&a, texts[i], strlen(texts[i])), 0);
        CU_ASSERT_TRUE(a.held[ROLE_CLIENT] && a.held[ROLE_REPLICA]);
    }
    CU_ASSERT_EQUAL(derive(&b, "Wild1:01", 8), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a.role, b.role, sizeof a.role), 0);
    CU_ASSERT_EQUAL(keys_from_secret(&b, "Wild1:00", 8, "other", error, sizeof error), 0);
    CU_ASSERT_NOT_EQUAL(memcmp(a.role, b.role, sizeof a.role), 0);
    CU_ASSERT_EQUAL(keys_from_secret(&b, "Wild1:00", 8, "wild", error, sizeof error), 0);
    CU_ASSERT_EQUAL(memcmp(a.role, b.role, sizeof a.role), 0);
}

static void the_published_keys_are_those_of_a_zero_root(void)
{
    struct role_keys insecure, zero_root;
    keys_insecure(&insecure);
    CU_ASSERT_EQUAL(
        derive(&zero_root, "wild1:0000000000000000000000000000000000000000000000000000000000000000", 70), 0);
    CU_ASSERT_EQUAL(memcmp(&insecure, &zero_root, sizeof insecure), 0);
}

/* ---- secret files ---- */

struct file_fixture {
    char folder[32], path[64];
};

static void file_make(struct file_fixture *f, const char *text, size_t length, mode_t mode)
{
    strcpy(f->folder, "/tmp/wild-keys-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/secret", f->folder);
    FILE *file = fopen(f->path, "w");
    CU_ASSERT_EQUAL(fwrite(text, 1, length, file), length);
    fclose(file);
    CU_ASSERT_EQUAL(chmod(f->path, mode), 0);
}

static void file_remove(struct file_fixture *f)
{
    unlink(f->path);
    rmdir(f->folder);
}

static int read_with(const char *text, size_t length, mode_t mode, char *out)
{
    struct file_fixture f;
    char error[256] = "";
    file_make(&f, text, length, mode);
    int got = keys_read_secret_file(f.path, out, error, sizeof error);
    file_remove(&f);
    CU_ASSERT_EQUAL(got < 0, error[0] != '\0');
    if (got < 0)
        CU_ASSERT_PTR_NOT_NULL(strstr(error, f.path));
    return got;
}

static void a_secret_file_loses_one_newline_and_no_more(void)
{
    char out[SECRET_TEXT_BYTES_MAX];
    CU_ASSERT_EQUAL(read_with("secret", 6, 0600, out), 6);
    CU_ASSERT_EQUAL(memcmp(out, "secret", 6), 0);
    CU_ASSERT_EQUAL(read_with("secret\n", 7, 0400, out), 6);
    CU_ASSERT_EQUAL(memcmp(out, "secret", 6), 0);
    CU_ASSERT_EQUAL(read_with("secret\n\n", 8, 0600, out), 7);
    CU_ASSERT_EQUAL(memcmp(out, "secret\n", 7), 0);
}

static void a_secret_file_has_a_largest_size(void)
{
    static char text[SECRET_TEXT_BYTES_MAX + 3], out[SECRET_TEXT_BYTES_MAX];
    memset(text, 's', sizeof text);
    CU_ASSERT_EQUAL(read_with(text, SECRET_TEXT_BYTES_MAX, 0600, out), SECRET_TEXT_BYTES_MAX);
    CU_ASSERT_EQUAL(read_with(text, SECRET_TEXT_BYTES_MAX + 1, 0600, out), -1);
    text[SECRET_TEXT_BYTES_MAX] = '\n';
    CU_ASSERT_EQUAL(read_with(text, SECRET_TEXT_BYTES_MAX + 1, 0600, out), SECRET_TEXT_BYTES_MAX);
    CU_ASSERT_EQUAL(read_with(text, SECRET_TEXT_BYTES_MAX + 3, 0600, out), -1);
    CU_ASSERT_EQUAL(read_with("", 0, 0600, out), -1);
    CU_ASSERT_EQUAL(read_with("\n", 1, 0600, out), -1);
}

static void a_secret_file_open_to_others_is_refused(void)
{
    char out[SECRET_TEXT_BYTES_MAX];
    for (mode_t bit = 1; bit <= 040; bit <<= 1)
        CU_ASSERT_EQUAL(read_with("secret", 6, 0600 | bit, out), -1);
}

static void what_is_not_a_regular_file_is_refused_without_waiting(void)
{
    struct file_fixture f;
    char out[SECRET_TEXT_BYTES_MAX], error[256];
    file_make(&f, "x", 1, 0600);
    unlink(f.path);
    CU_ASSERT_EQUAL(keys_read_secret_file(f.path, out, error, sizeof error), -1); /* absent */
    CU_ASSERT_EQUAL(keys_read_secret_file(f.folder, out, error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "not a regular file"));
    CU_ASSERT_EQUAL(mkfifo(f.path, 0600), 0);
    CU_ASSERT_EQUAL(keys_read_secret_file(f.path, out, error, sizeof error), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "not a regular file"));
    file_remove(&f);
}

/* ---- arena ---- */

static void the_arena_hands_out_aligned_zeroed_pieces_until_it_is_used_up(void)
{
    char error[256];
    struct key_arena *arena = key_arena_create(8192, error, sizeof error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(arena);
    uint8_t *previous = NULL;
    for (unsigned i = 0; i < 64; i++) {
        uint8_t *piece = key_arena_take(arena, 100); /* takes two lines of 64 */
        CU_ASSERT_PTR_NOT_NULL_FATAL(piece);
        CU_ASSERT_EQUAL((uintptr_t)piece % 64, 0);
        CU_ASSERT_EQUAL(piece[0] | piece[99], 0);
        CU_ASSERT_TRUE(previous == NULL || piece == previous + 128);
        memset(piece, 0xFF, 100);
        previous = piece;
    }
    CU_ASSERT_PTR_NULL(key_arena_take(arena, 1));
    CU_ASSERT_PTR_NULL(key_arena_take(arena, SIZE_MAX));
    key_arena_destroy(arena);
    key_arena_destroy(NULL);
}

static bool is_locked_and_not_dumped(const void *address)
{
    char line[256];
    bool inside = false, locked = false, not_dumped = false;
    FILE *maps = fopen("/proc/self/smaps", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-') < strchr(line, ' '))
            inside = (uintptr_t)address >= start && (uintptr_t)address < end;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            locked = strstr(line, " lo") != NULL;
            not_dumped = strstr(line, " dd") != NULL;
        }
    }
    fclose(maps);
    return locked && not_dumped;
}

/* The sanitizers replace mlock() by nothing. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MLOCK_IS_REAL false
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MLOCK_IS_REAL false
#endif
#ifndef MLOCK_IS_REAL
#define MLOCK_IS_REAL true
#endif

static void the_arena_is_locked_and_kept_out_of_core_dumps(void)
{
    char error[256];
    struct key_arena *arena = key_arena_create(4096, error, sizeof error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(arena);
    CU_ASSERT_TRUE(is_locked_and_not_dumped(key_arena_take(arena, 64)) || !MLOCK_IS_REAL);
    key_arena_destroy(arena);
}

static void an_arena_beyond_the_limit_says_what_the_limit_is(void)
{
    char error[256] = "";
    struct rlimit before, small;
    getrlimit(RLIMIT_MEMLOCK, &before);
    small = (struct rlimit){.rlim_cur = 16 * 1024, .rlim_max = before.rlim_max};
    CU_ASSERT_EQUAL(setrlimit(RLIMIT_MEMLOCK, &small), 0);
    uid_t user = geteuid();
    if (user == 0) /* root may lock as much as it likes */
        CU_ASSERT_EQUAL(seteuid(65534), 0);
    struct key_arena *arena = key_arena_create(1024 * 1024, error, sizeof error);
    if (user == 0)
        CU_ASSERT_EQUAL(seteuid(0), 0);
    setrlimit(RLIMIT_MEMLOCK, &before);
    if (MLOCK_IS_REAL) {
        CU_ASSERT_PTR_NULL(arena);
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "1024 KiB"));
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "the limit is 16 KiB"));
        CU_ASSERT_PTR_NOT_NULL(strstr(error, "ulimit -l"));
    }
    key_arena_destroy(arena);
}

int main(void)
{
    CU_TestInfo tests[] = {
        {"a generated key carries every role", a_generated_key_carries_every_role},
        {"an exported key carries the client role only", an_exported_key_carries_the_client_role_only},
        {"damaged and unknown tokens are refused", damaged_and_unknown_tokens_are_refused},
        {"passphrases depend on every byte and on the cluster",
         passphrases_depend_on_every_byte_and_on_the_cluster},
        {"the published keys are those of a zero root", the_published_keys_are_those_of_a_zero_root},
        {"a secret file loses one newline and no more", a_secret_file_loses_one_newline_and_no_more},
        {"a secret file has a largest size", a_secret_file_has_a_largest_size},
        {"a secret file open to others is refused", a_secret_file_open_to_others_is_refused},
        {"what is not a regular file is refused without waiting",
         what_is_not_a_regular_file_is_refused_without_waiting},
        {"the arena hands out aligned, zeroed pieces until it is used up",
         the_arena_hands_out_aligned_zeroed_pieces_until_it_is_used_up},
        {"the arena is locked and kept out of core dumps", the_arena_is_locked_and_kept_out_of_core_dumps},
        {"an arena beyond the limit says what the limit is",
         an_arena_beyond_the_limit_says_what_the_limit_is},
        CU_TEST_INFO_NULL,
    };
    if (keys_start() != 0)
        return 1;
    return suite_run("keys", tests);
}
