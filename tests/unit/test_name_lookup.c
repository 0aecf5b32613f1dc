/* test_name_lookup.c - names are looked up where nobody waits. */
#include "name_lookup.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "suite.h"

static char why[NAME_LOOKUP_ERROR_BYTES], error[128];
static struct address found;

/* Asks and waits as long as the resolver takes. */
static enum name_lookup_state answer(struct name_lookup *lookup)
{
    enum name_lookup_state state;

    name_lookup_ask(lookup);
    while ((state = name_lookup_take(lookup, &found, why)) == NAME_LOOKUP_ASKED)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return state;
}

static void an_address_is_there_at_once(void)
{
    struct name_lookup *lookup = name_lookup_create("198.18.0.7", error, sizeof error);

    CU_ASSERT_FATAL(lookup != NULL);
    CU_ASSERT_EQUAL(name_lookup_take(lookup, &found, why), NAME_LOOKUP_IDLE);
    for (unsigned i = 0; i < 2; i++) {
        name_lookup_ask(lookup);
        CU_ASSERT_EQUAL(name_lookup_take(lookup, &found, why), NAME_LOOKUP_FOUND);
        CU_ASSERT_EQUAL(address_ip4(&found), htonl(0xC6120007));
        CU_ASSERT_EQUAL(name_lookup_take(lookup, &found, why), NAME_LOOKUP_IDLE);
    }
    name_lookup_destroy(lookup);
}

static void a_name_is_asked_for_each_time(void)
{
    struct name_lookup *lookup = name_lookup_create("localhost", error, sizeof error);

    CU_ASSERT_FATAL(lookup != NULL);
    for (unsigned i = 0; i < 3; i++) {
        memset(&found, 0, sizeof found);
        CU_ASSERT_EQUAL(answer(lookup), NAME_LOOKUP_FOUND);
        CU_ASSERT_EQUAL(ntohl(address_ip4(&found)) >> 24, 127);
    }
    name_lookup_destroy(lookup);
}

/* RFC 6761 6.4: no resolver knows a name under .invalid. */
static void a_name_that_is_not_there_fails_with_a_line(void)
{
    struct name_lookup *lookup = name_lookup_create("nowhere.invalid", error, sizeof error);

    CU_ASSERT_FATAL(lookup != NULL);
    CU_ASSERT_EQUAL(answer(lookup), NAME_LOOKUP_FAILED);
    CU_ASSERT(strlen(why) > 0 && strchr(why, '\n') == NULL);
    name_lookup_destroy(lookup);
}

static void the_end_waits_for_no_answer(void)
{
    for (unsigned i = 0; i < 20; i++) {
        struct name_lookup *lookup = name_lookup_create("localhost", error, sizeof error);

        CU_ASSERT_FATAL(lookup != NULL);
        name_lookup_ask(lookup);
        name_lookup_ask(lookup); /* is under way */
        name_lookup_destroy(lookup);
    }
    name_lookup_destroy(NULL);
}

static void a_name_too_long_is_refused(void)
{
    char name[400];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CU_ASSERT_PTR_NULL(name_lookup_create(name, error, sizeof error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error, "too long"));
}

int main(void)
{
    CU_TestInfo tests[] = {
#define TEST(name) {#name, name}
        TEST(an_address_is_there_at_once),
        TEST(a_name_is_asked_for_each_time),
        TEST(a_name_that_is_not_there_fails_with_a_line),
        TEST(the_end_waits_for_no_answer),
        TEST(a_name_too_long_is_refused),
        CU_TEST_INFO_NULL,
    };
    return suite_run("name lookup", tests);
}
